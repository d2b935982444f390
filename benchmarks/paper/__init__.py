"""The papers' claims, measured: log(1/ε) iterations, time per iteration linear in nnz(A), rate ε₀/(1 − ε₀)."""
