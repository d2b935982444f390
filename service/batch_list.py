"""Pages of batches, newest first."""

from collections.abc import Iterator
from itertools import islice

from newtond.contract.batch import BatchList, BatchSummary
from newtond.contract.errors import NotFound
from service.backend import Backend
from service.batch_resource import batch_summary


def list_batches(
    backend: Backend, finished: bool | None, tag: str | None, after: str | None, limit: int
) -> BatchList:
    """Return at most ``limit`` such batches older than ``after``, and the next page's cursor."""
    found = list(islice(_matching(backend, finished, tag, after), limit + 1))
    page = found[:limit]
    return BatchList(batches=page, after=page[-1].id if len(found) > limit else None)


def _matching(
    backend: Backend, finished: bool | None, tag: str | None, after: str | None
) -> Iterator[BatchSummary]:
    for batch_id in reversed(backend.batches.ids()):
        if after is not None and batch_id >= after:
            continue
        try:
            batch = backend.batches.accepted(batch_id)
        except NotFound:  # deleted since it was listed
            continue
        if tag is not None and tag not in batch.jobs[0].spec.tags:
            continue
        summary = batch_summary(backend, batch)
        if finished is None or summary.finished == finished:
            yield summary
