"""What a client may say of a file beside its format, where the file itself does not."""

import re
from dataclasses import dataclass
from typing import Literal

from newtond.contract.errors import InvalidSpec

Duplicates = Literal["error", "sum"]
_APPLY = {"index_base": ("svmlight",), "columns": ("svmlight", "arrow"), "rows": ("arrow",)}
_PARAMETER = re.compile(r"([a-z_]+)=\"?([0-9]{1,10})\"?")


@dataclass(frozen=True)
class Options:
    """How to read a file; rows and columns are those of the matrix, where its file leaves them open."""

    duplicates: Duplicates = "error"
    index_base: int | None = None
    rows: int | None = None
    columns: int | None = None

    def check(self, format: str) -> None:
        """Raise InvalidSpec for an option that a format has no use for."""
        for name, formats in _APPLY.items():
            if getattr(self, name) is not None and format not in formats:
                raise InvalidSpec(
                    f"{name} is for {' and '.join(formats)}; a .{format} file says it itself.",
                    source={"parameter": name},
                )
        if self.index_base not in (None, 0, 1):
            raise InvalidSpec("index_base is 0 or 1.", source={"parameter": "index_base"})
        for name in ("rows", "columns"):
            if getattr(self, name) == 0:
                raise InvalidSpec(f"A matrix has one of {name} at least.", source={"parameter": name})


NO_OPTIONS = Options()


def from_media_type(media_type: str | None, options: Options) -> Options:
    """Return options completed by a media type's parameters: ``text/x-svmlight; index_base=0; columns=9``.

    Raises InvalidSpec for one that is not a number.
    """
    said: dict[str, int] = {}
    for parameter in (media_type or "").split(";")[1:]:
        name = parameter.partition("=")[0].strip().lower()
        if name not in _APPLY:
            continue
        match = _PARAMETER.fullmatch(parameter.strip().lower())
        if match is None or name in said or getattr(options, name) not in (None, int(match[2])):
            raise InvalidSpec(f"{name} is one number.", source={"parameter": name})
        said[name] = int(match[2])
    return Options(
        options.duplicates,
        *(said.get(name, getattr(options, name)) for name in ("index_base", "rows", "columns")),
    )
