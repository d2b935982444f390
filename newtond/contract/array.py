"""How a request names an array: by the id of an upload, or by the array itself when it is small."""

from typing import Annotated

from pydantic import Field

from newtond.contract.model import Model

ArrayId = Annotated[
    str,
    Field(pattern=r"^sha256:[0-9a-f]{64}$", examples=["sha256:" + "0" * 64]),
]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]


class Coordinates(Model):
    """A sparse matrix as lists: entry k stands at (row[k], col[k]), counted from 0."""

    shape: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    row: list[int]
    col: list[int]
    value: list[Number]


InlineArray = list[Number] | list[list[Number]] | Coordinates
ArrayInput = ArrayId | InlineArray


class ArrayRole(Model):
    """What one input or result array of a problem means, and its shape in symbols such as ("n", "d")."""

    shape: tuple[str, ...]
    meaning: str
    sparse: bool = False
    required: bool = True


class ArrayInfo(Model):
    """The resource of an uploaded array, as ``GET /arrays/{id}`` returns it."""

    id: ArrayId
    format: Annotated[str, Field(pattern="^(csr|dense)$")]
    shape: tuple[int, ...]
    nnz: int
    dtype: str
    bytes: int
    empty_columns: int | None = None
    column_norms: list[float] | None = None
    created_at: str


class ArrayPicture(Model):
    """Where the nonzeros of a matrix lie, as ``GET /arrays/{id}/picture`` returns it; a vector is one column."""

    shape: tuple[int, int]
    nnz: int
    rows: Annotated[list[int], Field(description="band i holds rows rows[i] to rows[i + 1], exclusive")]
    columns: Annotated[list[int], Field(description="band j holds columns columns[j] to columns[j + 1]")]
    counts: Annotated[list[list[int]], Field(description="nonzeros in each band of rows and of columns")]
    seen: Annotated[int, Field(description="entries that were looked at")]
    exact: Annotated[bool, Field(description="whether that was all; else counts are scaled up from a sample")]


class ArrayFile(Model):
    """What an uploaded file of several arrays held, by the names that a solve gives them."""

    arrays: dict[str, ArrayInfo]
