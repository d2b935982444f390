"""A prediction: what a finished solve says of new rows."""

from newtond.contract.array import ArrayId, ArrayInput, ArrayRole
from newtond.contract.model import Model
from newtond.contract.result import Provenance, ResultArray


class PredictionForm(Model):
    """What a kind predicts: by which formula, in which units, from which new arrays.

    An array that is optional and not given is that of the solve, where the solve had one. ``solution`` are the result
    arrays that the formula needs, of those that there are; ``solved`` arrays of the solve that it needs as they were.
    """

    formula: str
    units: str
    arrays: dict[str, ArrayRole]
    solution: tuple[str, ...] = ("x",)
    solved: tuple[str, ...] = ()


class NewRows(Model):
    """What ``POST /jobs/{id}/predict`` takes; ``prediction`` of ``GET /problems/{kind}`` says which and what for."""

    A: ArrayInput | None = None
    A1: ArrayInput | None = None
    A2: ArrayInput | None = None
    A3: ArrayInput | None = None
    groups: ArrayInput | None = None

    def arrays(self) -> dict[str, ArrayInput]:
        """Return the arrays that are given, by name."""
        given = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: array for name, array in given if array is not None}


class Prediction(Model):
    """A prediction to be made: the job it is of, and by id all that it is computed from."""

    job_id: str
    rows: dict[str, ArrayId]
    solved: dict[str, ArrayId]
    solution: dict[str, ArrayId]
    intercept: float | None

    def arrays(self) -> dict[str, ArrayId]:
        """Return every array that is read, the new rows by their own names, the solve's by the job's."""
        own = {**self.solved, **self.solution}
        return self.rows | {f"{self.job_id}/{name}": array for name, array in own.items()}


class PredictionReport(Model):
    """What came out: ``arrays`` holds the one array ``prediction``, a row for each new row."""

    job_id: str
    formula: str
    units: str
    arrays: dict[str, ResultArray]
    provenance: Provenance
