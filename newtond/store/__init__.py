"""Where data rests: the data directory is the truth, Redis is what may be lost."""

import re
from collections.abc import Iterator
from pathlib import Path

from newtond.contract.errors import NotFound, SetupError
from newtond.store.arrays import ArrayStore
from newtond.store.files import write_once
from newtond.store.jobs import JobStore
from newtond.store.tenant import DEFAULT, NAME, Tenant, check_name

FORMAT = 1
_FORMAT_LINE = re.compile(r"newtond data (\d{1,9})\n")


class DataDirectory:
    """The data directory at ``path``, made if absent; raises SetupError if its format is not ours.

    The tenant ``default`` lies at its root, every other one under ``tenants/<name>/`` in the same layout.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_format(path / "format")
        self.default = Tenant.at(path, DEFAULT)
        self._tenants = {DEFAULT: self.default}
        self._folder = path / "tenants"

    @property
    def arrays(self) -> ArrayStore:
        """The default tenant's arrays."""
        return self.default.arrays

    @property
    def jobs(self) -> JobStore:
        """The default tenant's jobs."""
        return self.default.jobs

    def tenant(self, name: str) -> Tenant:
        """Return a tenant's share, made if absent; raises InvalidSpec for what is no name of one."""
        if (known := self._tenants.get(name)) is not None:
            return known
        return self._tenants.setdefault(name, Tenant.at(self._folder / check_name(name), name))

    def tenants(self) -> Iterator[Tenant]:
        """Yield every tenant's share, the default one's first."""
        yield self.default
        if self._folder.is_dir():
            names = sorted(folder.name for folder in self._folder.iterdir())
            yield from (self.tenant(name) for name in names if NAME.fullmatch(name))

    def of_job(self, job_id: str) -> Tenant:
        """Return the tenant whose job this is, by the files alone; raises NotFound."""
        for tenant in self.tenants():
            if tenant.jobs.exists(job_id):
                return tenant
        raise NotFound(f"there is no job {job_id}")


def check_format(file: Path) -> None:
    """Write our format where there is none; raises SetupError for one that this newtond does not read."""
    if not file.exists() and write_once(file, f"newtond data {FORMAT}\n".encode()):
        return
    found = file.read_text(encoding="utf-8", errors="replace")
    match = _FORMAT_LINE.fullmatch(found)
    if match is None:
        raise SetupError(f"{file} does not name a data format of newtond: is this another's directory?")
    if int(match[1]) != FORMAT:
        raise SetupError(
            f"the data directory is of format {match[1]}, this newtond reads format {FORMAT}: "
            "it was written by another version; start that one, or give another --data-dir"
        )
