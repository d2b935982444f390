"""Verify a bundle of newtond with NumPy alone, and none of newtond's code.

    python verify.py bundle.zip A.npz b.npy [row_weights=v.npy groups=g.npy ...] [seal=DIGEST]

Checks that the inputs are those solved, that every line of the chain names the line before, that the seal is of
inputs, chain and result, that the solution is the sealed one, and, of hyperbolic, least_squares and softmax, loss and
gradient norm at x against the certificate. `seal.digest` of the job, noted when it finished, shows that the whole
was not written anew since. Inputs are .npy, or CSR or CSC .npz of scipy.sparse.save_npz. Ends with 0: all held;
1: something did not; 3: what was checked held, and something could not be checked (it says what).
"""

import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np

JSON = ("spec.json", "result.json", "seal.json")
ROUNDING = 1e-12
# f, f', its inverse, and the w² that makes a row convex.
FUNCTIONS = {
    "exp": (np.exp, np.exp, np.log, lambda b: np.maximum(b, 0.0) ** 2 / 8),
    "cosh": (np.cosh, np.sinh, np.arccosh, lambda b: np.where(b <= 4.0, b - 1.0, 1.0 + b * b / 8)),
    "sinh": (np.sinh, np.cosh, np.arcsinh, lambda b: b * b / 8 - 1.0),
    "identity": (lambda z: z, np.ones_like, lambda b: b, lambda b: np.full_like(b, -1.0)),
}


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class Array:
    """An input or result: dense, or sparse by entries; `id` is its digest in canonical form."""

    def __init__(self, content):
        file = io.BytesIO(content)
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            self.data, self.entries = np.ascontiguousarray(loaded, "<f8"), None
            header = {"descr": "<f8", "fortran_order": False, "shape": self.data.shape}
            self.plain = str(header).encode()[:-1] + b", }" in content
            self.shape, self.plain = self.data.shape, self.plain and file.tell() == len(content)
            self.id = self._digest(format="dense", data=self.data)
        else:
            self._read_sparse(loaded)

    def _read_sparse(self, file):
        self.shape, form = tuple(int(each) for each in file["shape"]), bytes(file["format"].item()).decode()
        along = np.repeat(np.arange(self.shape[form == "csc"]), np.diff(file["indptr"]))
        row, col = (along, file["indices"]) if form == "csr" else (file["indices"], along)
        order = np.lexsort((col, row))
        order = order[file["data"][order] != 0.0]
        row, col, self.data = row[order], col[order], file["data"][order].astype("<f8")
        self.entries, indices = (row, col), col.astype("<i4" if self.shape[1] <= 2**31 else "<i8")
        indptr = np.searchsorted(row, np.arange(self.shape[0] + 1)).astype("<i8")
        self.id = self._digest(format="csr", indptr=indptr, indices=indices, data=self.data)

    def _digest(self, format, **parts):
        header = {"format": format, "shape": self.shape, **{k: each.dtype.str for k, each in parts.items()}}
        state = hashlib.sha256(canonical(header) + b"\n")
        for part in parts.values():
            state.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8))
        return "sha256:" + state.hexdigest()

    def times(self, x):
        if self.entries is None:
            return self.data @ x
        return np.bincount(self.entries[0], self.data * x[self.entries[1]], self.shape[0])

    def transposed_times(self, g, size=lambda data: data):
        if self.entries is None:
            return g @ size(self.data)
        return np.bincount(self.entries[1], size(self.data) * g[self.entries[0]], self.shape[1])


def check_members(members, result):
    solution = {f"solution/{name}.npy": each for name, each in result["arrays"].items()}
    if odd := set(members) ^ {*JSON, "chain.ndjson", "verify.py", *solution}:
        yield "bundle: missing or strange: " + ", ".join(sorted(odd))
    if members.get("verify.py") != Path(__file__).read_bytes():
        yield "verify.py: the one in the bundle is not the one that runs"
    for name, array in ((each, Array(members[each])) for each in solution):
        if array.id != solution[name] or not array.plain:
            yield f"{name}: not the array that the result names"


def check_chain(members, seal):
    head = origin = sha256(members["spec.json"])
    *lines, rest = members["chain.ndjson"].split(b"\n")
    for number, line in enumerate(lines):
        link = json.loads(line).get("link", {})
        if (link.get("previous"), link.get("inputs")) != (head, origin):
            yield f"chain: line {number} does not name the line before and the inputs"
        head = sha256(line)
    head = head if rest == b"" else "the last line is not whole"
    parts = {"inputs": origin, "chain": head, "result": sha256(members["result.json"])}
    yield from (f"seal: {name} is another" for name, each in parts.items() if seal.get(name) != each)
    if canonical(parts | {"digest": sha256(canonical(parts))}) != members["seal.json"]:
        yield "seal: its digest is not of what it holds"


def predicted(spec, z, b, v, arrays):
    """Return the residual, the gradient in z, and the sizes of the terms that it is made from."""
    if spec["problem"]["kind"] != "softmax":
        f, derivative, *_ = FUNCTIONS[spec["problem"].get("function", "identity")]
        u, slope = f(z), derivative(z)
        return u - b, v * slope * (u - b), v * np.abs(slope) * (np.abs(u) + np.abs(b)) * (1.0 + np.abs(z))
    groups = arrays["groups"].data.ravel() if "groups" in arrays else np.zeros(len(z))
    of_row = np.unique(groups, return_inverse=True)[1].ravel()
    most = np.full(of_row.max() + 1, -np.inf)
    np.maximum.at(most, of_row, z)
    e = np.exp(z - most[of_row])
    f = e / np.bincount(of_row, e)[of_row]
    c = v * (f - b)
    return f - b, f * (c - np.bincount(of_row, c * f)[of_row]), v * f * (1.0 + np.abs(b)) * (1.0 + np.abs(z))


def squared_weights_and_offset(spec, b, v, arrays):
    w, offset = spec["regulariser"]["weights"], spec["regulariser"]["offset"]
    _, _, inverse, tau = FUNCTIONS[spec["problem"].get("function", "identity")]
    if w == "convex":
        omega = np.maximum(v * tau(b), 0.0) + spec["regulariser"]["margin"]
    else:
        omega = (arrays["weights"].data.ravel() if isinstance(w, str) else w) ** 2 * np.ones_like(b)
    fixed = {"target": inverse, "zero": np.zeros_like}
    return omega, fixed[offset](b) if offset in fixed else arrays["offset"].data.ravel()


def check_point(spec, result, arrays, x):
    A, b, shift = arrays["A"], arrays["b"].data.ravel(), result.get("intercept")
    v = arrays["row_weights"].data.ravel() if "row_weights" in arrays else np.ones_like(b)
    (omega, offset), ridge = squared_weights_and_offset(spec, b, v, arrays), spec["regulariser"]["ridge"]
    residual, slope, size = predicted(spec, z := A.times(x) + (shift or 0.0), b, v, arrays)
    slope, size = slope + omega * (z - offset), size + omega * (np.abs(z) + np.abs(offset))
    loss = 0.5 * (np.sum(v * residual**2) + np.sum(omega * (z - offset) ** 2) + ridge * np.sum(x * x))
    gradient = A.transposed_times(slope) + ridge * x
    terms = A.transposed_times(size, np.abs) + ridge * np.abs(x)
    if shift is not None:
        gradient, terms = np.append(gradient, slope.sum()), np.append(terms, size.sum())
    norm, rounding, said = np.linalg.norm(gradient), ROUNDING * np.linalg.norm(terms), result["certificate"]
    print(f"at x: loss {loss:.15g}, norm of the gradient {norm:.3g}, its rounding at most {rounding:.1g}")
    if not abs(loss - said.get("loss", np.nan)) <= 1e-9 * abs(loss) + ROUNDING * np.sum(v * b * b):
        yield f"loss at x: {loss:.15g} here, {said.get('loss')} in the certificate"
    if not abs(norm - said.get("gradient_norm", np.nan)) <= rounding:
        yield f"norm of the gradient at x: {norm:.3g} here, {said.get('gradient_norm')} in the certificate"


def unknown(spec, wanted, given):
    kind = spec["problem"]["kind"]
    if kind not in ("hyperbolic", "least_squares", "softmax") or "B" in wanted:
        return "it knows no formula of " + kind + " with many targets" * ("B" in wanted)
    if kind == "softmax" and spec["regulariser"]["weights"] == "convex":
        return "the threshold of weights 'convex' of softmax is not computed here"
    return "they need every input" if set(wanted) - set(given) - {"warm_start"} else None


def check(path, files, noted=None):
    """Return the faults and what could not be checked, each in words."""
    with zipfile.ZipFile(path) as bundle:
        members = {name: bundle.read(name) for name in bundle.namelist()}
        faults = ["bundle: a name stands twice"] * (len(members) < len(bundle.namelist()))
    spec, result, seal = (json.loads(members[name]) for name in JSON)
    faults += [*check_members(members, result), *check_chain(members, seal)]
    faults += ["seal: not the one that you noted"] * (noted not in (None, seal.get("digest")))
    given = {name: Array(Path(file).read_bytes()) for name, file in files.items()}
    named = [*spec.items(), *spec["regulariser"].items()]
    wanted = {name: each for name, each in named if str(each).startswith("sha256:")}
    faults += [f"{k}: not the array that was solved" for k in given if wanted.get(k) != given[k].id]
    unchecked = [f"{name}: its file was not given" for name in sorted(set(wanted) - set(given))]
    if reason := unknown(spec, wanted, given):
        unchecked.append(f"loss and gradient at x: {reason}")
    elif not faults:
        faults += check_point(spec, result, given, Array(members["solution/x.npy"]).data)
    return faults, unchecked


def main(bundle, *asked):
    named = [file.partition("=")[::2] for file in asked if "=" in file]
    files = dict([*zip(("A", "b"), (file for file in asked if "=" not in file)), *named])
    try:
        faults, unchecked = check(bundle, files, files.pop("seal", None))
    except Exception as error:  # whatever is wrong with the bundle, it does not hold
        faults, unchecked = [f"damaged: {type(error).__name__}: {error}"], []
    for line in [*(f"FAILED {each}" for each in faults), *(f"not checked: {each}" for each in unchecked)]:
        print(line)
    print("failed" if faults else "held, as far as it was checked" if unchecked else "held")
    return 1 if faults else 3 if unchecked else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 1 else __doc__)
