"""The linear sets of the NIST Statistical Reference Datasets: digits against LAPACK's.

Decimal data, and powers of it, are rounded to float64 before anybody sees them: ``exact`` is the solution for the
rounded numbers, by rational arithmetic. What LAPACK has beyond the digits of that is chance.
"""

from typing import Any

import pytest

from examples import nist_sets as nist


@pytest.mark.parametrize("name", nist.SETS)
def test_as_many_digits_as_lapack(solve: Any, name: str) -> None:
    A, b, certified = nist.problem(name)
    solved = solve("identity", A, b)
    assert solved.last.termination == "converged"
    assert solved.plan.hessian == "qr"
    ours = nist.digits(solved.x, certified)
    assert ours >= max(nist.digits(x, certified) for x in nist.singular_values(A, b))
    exact = nist.exact(A, b)
    theirs = max(nist.digits(x, certified) for x in nist.householder(A, b))
    assert ours >= min(theirs, nist.digits(exact, certified))
    assert nist.digits(solved.x, exact) == nist.CERTIFIED_DIGITS
