"""Jobs to be purged once they have stopped: each wish an empty file, so that a restart keeps it."""

from pathlib import Path

from newtond.contract.errors import NotFound
from newtond.store.jobs import JobStore


class Deletions:
    """The wishes under ``root``, one file a job."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def ask(self, job_id: str) -> None:
        """Have the job purged when it has finished."""
        (self.root / job_id).touch()

    def carry_out(self, jobs: JobStore) -> None:
        """Purge every job that was asked for and has finished."""
        for wish in list(self.root.iterdir()):
            try:
                finished = jobs.finished(wish.name)
            except NotFound:
                wish.unlink(missing_ok=True)
                continue
            if finished is not None:
                jobs.delete(wish.name)
                wish.unlink(missing_ok=True)
