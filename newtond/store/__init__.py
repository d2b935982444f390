"""Where data rests: the data directory is the truth, Redis is what may be lost."""

from pathlib import Path

from newtond.contract.errors import SetupError
from newtond.store.arrays import ArrayStore
from newtond.store.files import write_once
from newtond.store.jobs import JobStore

FORMAT = "newtond data 1\n"


class DataDirectory:
    """The data directory at ``path``, made if absent; raises SetupError if its format is not ours."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        _check_format(path / "format")
        self.arrays = ArrayStore(path / "arrays")
        self.jobs = JobStore(path / "jobs")


def _check_format(file: Path) -> None:
    if not file.exists() and write_once(file, FORMAT.encode()):
        return
    if (found := file.read_text(encoding="utf-8", errors="replace")) != FORMAT:
        raise SetupError(f"the data directory is of format {found[:40]!r}, this newtond reads {FORMAT!r}")
