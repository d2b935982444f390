"""Batches: all of their jobs accepted in one stroke, or none.

batches/<id>/accepted.json   every job as it is accepted, durable before the first of them has its folder
batches/<id>/placed          every job has had its folder; whoever is missing since was deleted
batches/keys/<sha256>        the batch of an idempotency key
"""

import hashlib
import re
import secrets
import shutil
from pathlib import Path

from newtond.contract.batch import AcceptedBatch
from newtond.contract.errors import InvalidSpec, NotFound
from newtond.store.files import place_folder, sync_directory, write_once
from newtond.store.jobs import CROCKFORD, JobStore

ACCEPTED, PLACED, KEYS = "accepted.json", "placed", "keys"
BATCH_ID = re.compile(f"batch_[{CROCKFORD}]{{26}}")


class BatchStore:
    """The batches under ``root``, of the jobs in ``jobs``; any number of processes may use it at once."""

    def __init__(self, root: Path, jobs: JobStore) -> None:
        self.root = root
        self._jobs = jobs
        (root / KEYS).mkdir(parents=True, exist_ok=True)

    def accept(self, batch: AcceptedBatch) -> AcceptedBatch:
        """Make a batch and all of its jobs durable, and return it, or the one that came first with the same key.

        Raises InvalidSpec if that key came with another request, StorageFull.
        """
        if batch.idempotency_key is not None:
            batch = self._claim(self._key_path(batch.idempotency_key), batch)
        folder = self.root / batch.id
        if not folder.exists():
            place_folder(folder, {ACCEPTED: batch.model_dump_json().encode()})
            sync_directory(self.root)
        self._place_jobs(batch)
        return batch

    def _claim(self, key: Path, batch: AcceptedBatch) -> AcceptedBatch:
        if write_once(key, batch.model_dump_json().encode()):
            return batch
        earlier = AcceptedBatch.model_validate_json(key.read_bytes())
        if earlier.fingerprint != batch.fingerprint:
            raise InvalidSpec("this Idempotency-Key was used with another request")
        return earlier

    def _key_path(self, key: str) -> Path:
        return self.root / KEYS / hashlib.sha256(key.encode()).hexdigest()

    def _place_jobs(self, batch: AcceptedBatch) -> None:
        placed = self.root / batch.id / PLACED
        if placed.exists():
            return
        for job in batch.jobs:
            self._jobs.place(job)
        write_once(placed, b"")

    def complete(self) -> list[str]:
        """Place what a service that died had not placed yet; return the ids of such batches."""
        found = [batch_id for batch_id in self.ids() if not (self.root / batch_id / PLACED).exists()]
        for batch_id in found:
            self._place_jobs(self.accepted(batch_id))
        return found

    def ids(self) -> list[str]:
        """Return the ids of all batches, the oldest first."""
        return sorted(folder.name for folder in self.root.iterdir() if BATCH_ID.fullmatch(folder.name))

    def accepted(self, batch_id: str) -> AcceptedBatch:
        """Return what was accepted; raises NotFound."""
        if not BATCH_ID.fullmatch(batch_id):
            raise NotFound("there is no such batch")
        try:
            return AcceptedBatch.model_validate_json((self.root / batch_id / ACCEPTED).read_bytes())
        except FileNotFoundError:
            raise NotFound(f"there is no batch {batch_id}") from None

    def expire(self, when: float) -> list[str]:
        """Forget the batches made before ``when``, in seconds since 1970, of which no job is left; return their ids."""
        old = [batch_id for batch_id in self.ids() if self._made_at(batch_id) < when]
        gone = [batch_id for batch_id in old if not self._jobs_left(batch_id)]
        for batch_id in gone:
            self.delete(batch_id)
        return gone

    def _made_at(self, batch_id: str) -> float:
        return (self.root / batch_id / ACCEPTED).stat().st_mtime

    def _jobs_left(self, batch_id: str) -> bool:
        placed = (self.root / batch_id / PLACED).exists()
        return not placed or any(self._jobs.exists(job.job_id) for job in self.accepted(batch_id).jobs)

    def delete(self, batch_id: str) -> None:
        """Forget a batch and free its key; its jobs are not touched. Raises NotFound."""
        batch = self.accepted(batch_id)
        if batch.idempotency_key is not None:
            self._key_path(batch.idempotency_key).unlink(missing_ok=True)
        trash = self.root / f".purged-{batch_id}-{secrets.token_hex(8)}"
        try:
            (self.root / batch_id).rename(trash)
        except FileNotFoundError:
            raise NotFound(f"there is no batch {batch_id}") from None
        sync_directory(self.root)
        shutil.rmtree(trash)
