"""The other families against the best that a user would write for SciPy, with the derivatives of the papers."""
