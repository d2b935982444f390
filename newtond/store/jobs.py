"""A job's write-once files: the truth about every job, whatever becomes of Redis.

jobs/<id>/accepted.json               what was asked, durable before it is acknowledged
jobs/<id>/after                       the job before it, which must end first
jobs/<id>/start.json                  the arrays to start from, settled once that has ended
jobs/<id>/cancel                      someone asked to stop
jobs/<id>/attempts/<k>/trace.ndjson   one line an iteration
jobs/<id>/attempts/<k>/checkpoint     the solver's whole state, digest-checked, the previous one kept
jobs/<id>/attempts/<k>/iterates/<i>   under solver.audit: x and the row blocks' digests at iteration i
jobs/<id>/attempts/<k>/started        when it began
jobs/<id>/attempts/<k>/ended          the attempt ended by will: one without it died
jobs/<id>/finished.json               how it ended, linked to its name: a job finishes once whoever races
expired/<id>                          there was such a job, and its time was over
keys/<sha256 of the key>              the accepted job of an idempotency key
"""

import hashlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from newtond.contract.chain import canonical
from newtond.contract.errors import Gone, InvalidSpec, NotFound
from newtond.contract.job import Accepted, Finished
from newtond.contract.trace import TraceRecord
from newtond.store import attempts
from newtond.store.attempts import Attempt
from newtond.store.checkpoint import Checkpoint
from newtond.store.files import place_folder, sync_directory, write_once

ACCEPTED, FINISHED, CANCEL, ATTEMPTS = "accepted.json", "finished.json", "cancel", "attempts"
ABANDONED_SECONDS = 3600.0
AFTER, START = "after", "start.json"
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
JOB_ID = re.compile(f"job_[{CROCKFORD}]{{26}}")


def new_job_id() -> str:
    """Return ``job_`` and a ULID: ids sort by the millisecond they were made in."""
    return new_job_ids(1)[0]


def new_job_ids(count: int) -> list[str]:
    """Return ids made in one millisecond, in their order."""
    first = _ulid()
    return ["job_" + _written(first + k) for k in range(count)]


def new_batch_id() -> str:
    """Return ``batch_`` and a ULID."""
    return "batch_" + _written(_ulid())


def _ulid() -> int:
    # The topmost of the random bits is 0, so that counting up stays within them.
    return time.time_ns() // 1_000_000 << 80 | secrets.randbits(79)


def _written(number: int) -> str:
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -5, -5))


class JobStore:
    """The jobs under ``root``; any number of processes may use one directory at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.keys = root.parent / "keys"
        self.expired = root.parent / "expired"
        for folder in (root, self.keys, self.expired):
            folder.mkdir(parents=True, exist_ok=True)
        self._known_finished: set[str] = set()
        self._named: dict[str, frozenset[str]] = {}

    def accept(self, accepted: Accepted) -> Accepted:
        """Make a job durable and return it, or the job that came first with the same idempotency key.

        Raises InvalidSpec if that key came with another request.
        """
        if accepted.idempotency_key is not None:
            accepted = self._claim(self._key_path(accepted.idempotency_key), accepted)
        self.place(accepted)
        return accepted

    def _claim(self, key: Path, accepted: Accepted) -> Accepted:
        if write_once(key, accepted.model_dump_json().encode()):
            return accepted
        earlier = Accepted.model_validate_json(key.read_bytes())
        if (earlier.fingerprint, earlier.task) != (accepted.fingerprint, accepted.task):
            raise InvalidSpec("this Idempotency-Key was used with another request")
        return earlier

    def _key_path(self, key: str) -> Path:
        return self.keys / hashlib.sha256(key.encode()).hexdigest()

    def place(self, accepted: Accepted) -> None:
        """Give an accepted job its folder; once too often does no harm."""
        folder = self.root / accepted.job_id
        if not folder.exists():
            files = {ACCEPTED: accepted.model_dump_json().encode()}
            place_folder(
                folder, files | ({AFTER: accepted.after.encode()} if accepted.after is not None else {})
            )
        sync_directory(self.root)

    def accepted(self, job_id: str) -> Accepted:
        """Return what was asked, with where to start from once that is settled; raises NotFound."""
        try:
            accepted = Accepted.model_validate_json((self._folder(job_id) / ACCEPTED).read_bytes())
        except FileNotFoundError:  # purged this moment
            raise self._absent(job_id) from None
        if accepted.after is None:
            return accepted
        return accepted.model_copy(update={"spec": accepted.spec.with_arrays(self._start(job_id))})

    def inputs(self, job_id: str) -> bytes:
        """Return the spec as it was accepted, every array by its digest, in canonical form; raises NotFound."""
        accepted = json.loads((self._folder(job_id) / ACCEPTED).read_bytes())
        return canonical(accepted["spec"] | (self._start(job_id) if accepted.get("after") else {}))

    def _start(self, job_id: str) -> dict[str, str]:
        try:
            return dict(json.loads((self.root / job_id / START).read_bytes()))
        except FileNotFoundError:
            return {}

    def waits(self, job_id: str) -> bool:
        """Say whether a job before it must end first; costs a stat, or two where there is one."""
        folder = self.root / job_id
        return (folder / AFTER).exists() and not (folder / START).exists()

    def settle(self, job_id: str, start: Mapping[str, str]) -> None:
        """Fix the arrays from which a job that waited starts, for good; raises NotFound."""
        self._write(job_id, START, json.dumps(dict(start)).encode())

    def finished(self, job_id: str) -> Finished | None:
        """Return how the job ended, None while it has not; raises NotFound."""
        try:
            return Finished.model_validate_json((self._folder(job_id) / FINISHED).read_bytes())
        except FileNotFoundError:
            return None

    def result(self, job_id: str) -> dict[str, Any]:
        """Return the result of a finished job as it was written; raises NotFound, also where there is none."""
        try:
            document = json.loads((self._folder(job_id) / FINISHED).read_bytes())
        except FileNotFoundError:
            raise NotFound("the job has not finished") from None
        if document["result"] is None:
            raise NotFound("the job ended without a result")
        return dict(document["result"])

    def exists(self, job_id: str) -> bool:
        """Say whether there is such a job."""
        return (self.root / job_id / ACCEPTED).exists()

    def is_finished(self, job_id: str) -> bool:
        """Say whether the job has ended, without reading how."""
        return (self.root / job_id / FINISHED).exists()

    def finish(self, finished: Finished) -> bool:
        """End a job; False if it had ended already, and then nothing is changed. Raises NotFound."""
        return self._write(finished.job_id, FINISHED, finished.model_dump_json().encode())

    def request_cancel(self, job_id: str) -> None:
        """Ask whoever runs the job to stop, for good: the wish survives Redis. Raises NotFound."""
        self._write(job_id, CANCEL, b"")

    def cancel_requested(self, job_id: str) -> bool:
        """Say whether a stop was asked for; costs one stat."""
        return (self.root / job_id / CANCEL).exists()

    def new_attempt(self, job_id: str) -> int:
        """Create the next attempt's folder and return its number, from 1; raises NotFound."""
        return attempts.create_attempt(self._folder(job_id) / ATTEMPTS)

    def attempt(self, job_id: str, number: int) -> Attempt:
        """Open an attempt made by ``new_attempt`` for its one writer."""
        return Attempt(self.root / job_id / ATTEMPTS / str(number))

    def end_attempt(self, job_id: str, number: int) -> None:
        """Mark an attempt as ended by will; one that is not died."""
        attempts.end_attempt(self.root / job_id / ATTEMPTS / str(number))

    def attempts(self, job_id: str) -> int:
        """Return how many attempts have been made."""
        return max(attempts.numbers(self.root / job_id / ATTEMPTS), default=0)

    def started_at(self, job_id: str) -> str | None:
        """Return when the job was first begun, None while it has not been."""
        return attempts.started_at(self.root / job_id / ATTEMPTS)

    def deaths(self, job_id: str) -> int:
        """Return how many attempts ended without saying so (or run now)."""
        return attempts.deaths(self.root / job_id / ATTEMPTS)

    def trace(self, job_id: str, after: int | None = None) -> list[TraceRecord]:
        """Return the trace past iteration ``after``, merged over the attempts; raises NotFound."""
        return attempts.merged_trace(self._folder(job_id) / ATTEMPTS, after)

    def lines(self, job_id: str) -> list[bytes]:
        """Return the trace as it was written, one line an iteration; raises NotFound."""
        return attempts.merged_lines(self._folder(job_id) / ATTEMPTS, None)

    def kept(self, job_id: str, iteration: int) -> Checkpoint | None:
        """Return the iterate kept of an iteration; None if it is missing or damaged."""
        return attempts.kept(self.root / job_id / ATTEMPTS, iteration)

    def checkpoint(self, job_id: str) -> Checkpoint | None:
        """Return the newest checkpoint that is whole, None if there is none."""
        return attempts.newest_checkpoint(self.root / job_id / ATTEMPTS)

    def ids(self, after: str | None = None) -> list[str]:
        """Return the job ids older than ``after`` (a cursor), the newest first."""
        names = (folder.name for folder in self.root.iterdir() if not folder.name.startswith("."))
        return sorted((name for name in names if after is None or name < after), reverse=True)

    def unfinished(self) -> Iterator[str]:
        """Yield the ids of the jobs that have not ended, the oldest first."""
        for job_id in reversed(self.ids()):
            if job_id in self._known_finished:
                continue
            if self.is_finished(job_id):
                self._known_finished.add(job_id)
            else:
                yield job_id

    def arrays_in_use(self) -> set[str]:
        """Return the ids of the arrays that an unfinished job reads."""
        return {array for job_id in self.unfinished() for array in self._arrays(job_id)}

    def _arrays(self, job_id: str) -> list[str]:
        try:
            return list(self.accepted(job_id).arrays().values())
        except NotFound:  # purged since it was listed
            return []

    def arrays_named(self) -> set[str]:
        """Return the ids of the arrays that any job here reads or has as its result."""
        ids = self.ids()
        self._named = {job_id: self._named[job_id] for job_id in ids if job_id in self._named}
        return {array for job_id in ids for array in self._named.get(job_id) or self._names(job_id)}

    def _names(self, job_id: str) -> frozenset[str]:
        try:
            finished = self.finished(job_id)
        except NotFound:
            return frozenset()
        inputs = self._arrays(job_id)
        if finished is None:
            return frozenset(inputs)
        made = (array.id for array in finished.arrays().values())
        self._named[job_id] = frozenset([*inputs, *made])
        return self._named[job_id]

    def audited(self) -> set[str]:
        """Return the ids of the jobs whose files an unfinished audit reads."""
        return {audit for job_id in self.unfinished() if (audit := self._audited(job_id)) is not None}

    def _audited(self, job_id: str) -> str | None:
        try:
            audit = self.accepted(job_id).audit
        except NotFound:
            return None
        return audit.job_id if audit else None

    def finished_before(self, when: float) -> list[str]:
        """Return the ids of the jobs that ended before ``when``, in seconds since 1970."""
        return [
            job_id for job_id in self.ids() if (at := self._finished_at(job_id)) is not None and at < when
        ]

    def _finished_at(self, job_id: str) -> float | None:
        try:
            return (self.root / job_id / FINISHED).stat().st_mtime
        except FileNotFoundError:
            return None

    def expire(self, job_id: str) -> None:
        """Purge a job whose time is over, and remember that there was one; raises NotFound."""
        self.accepted(job_id)
        (self.expired / job_id).touch()
        self.delete(job_id)

    def forget(self, when: float) -> None:
        """Forget the jobs that expired before ``when``, and remove what dead processes left half placed."""
        for trace in self.expired.iterdir():
            if trace.stat().st_mtime < when:
                trace.unlink(missing_ok=True)
        abandoned = time.time() - ABANDONED_SECONDS
        for folder in (*self.root.glob(".new-*"), *self.root.glob(".purged-*")):
            if folder.stat().st_mtime < abandoned:
                shutil.rmtree(folder, ignore_errors=True)

    def delete(self, job_id: str) -> None:
        """Purge a job and free its idempotency key; raises NotFound."""
        accepted = self.accepted(job_id)
        if accepted.idempotency_key is not None:
            self._key_path(accepted.idempotency_key).unlink(missing_ok=True)
        trash = self.root / f".purged-{job_id}-{secrets.token_hex(8)}"
        (self.root / job_id).rename(trash)
        sync_directory(self.root)
        shutil.rmtree(trash)

    def _write(self, job_id: str, name: str, content: bytes) -> bool:
        folder = self._folder(job_id)
        try:
            return write_once(folder / name, content)
        except FileNotFoundError:  # purged this moment
            raise self._absent(job_id) from None

    def _folder(self, job_id: str) -> Path:
        folder = self.root / job_id
        if not JOB_ID.fullmatch(job_id) or not folder.is_dir():
            raise self._absent(job_id)
        return folder

    def _absent(self, job_id: str) -> NotFound:
        if JOB_ID.fullmatch(job_id) and (self.expired / job_id).exists():
            return Gone("This job has expired, and with it its result.")
        return NotFound(f"there is no job {job_id}")
