"""Going on from an earlier solve: its result arrays as the arrays that a later one starts from."""

import numpy as np

from newtond.contract.errors import InvalidSpec, NotFound, StorageFull
from newtond.contract.job import Accepted, Finished
from newtond.contract.result import Result
from newtond.contract.solve import SolveSpec
from newtond.store.arrays import ArrayStore
from newtond.store.jobs import JobStore


def starting_arrays(spec: SolveSpec, result: Result, arrays: ArrayStore) -> dict[str, str]:
    """Return by name the ids of the arrays with which ``spec`` starts where ``result`` ended.

    x and its intercept become one array, stored here. Raises InvalidSpec where one has an intercept and the other
    none, NotFound where an array of the result was deleted, StorageFull.
    """
    if spec.intercept != (result.intercept is not None):
        has, none = ("this solve", "that job") if spec.intercept else ("that job", "this solve")
        raise InvalidSpec(f"{has} has an intercept, {none} has none", source={"pointer": "/intercept"})
    ids = {name: result.arrays[made].id for name, made in spec.continues.items() if made in result.arrays}
    if result.intercept is not None and "warm_start" in ids:
        x = arrays.open(ids["warm_start"]).as_vector()
        ids["warm_start"] = arrays.put_dense(np.append(x, result.intercept))[0].id
    for id in ids.values():
        arrays.info(id)
    return ids


def may_start(job_id: str, jobs: JobStore, arrays: ArrayStore) -> bool:
    """Say whether no job before it must end first; settles from where it starts, once that has ended.

    Whoever asks first settles it, and it is the same whoever does: another attempt, or the job before it being
    deleted, changes nothing any more. Raises NotFound.
    """
    if not jobs.waits(job_id):
        return True
    accepted = jobs.accepted(job_id)
    try:
        before = _before(accepted, jobs)
        if before is None:
            return False
        start = _start(accepted.spec, *before, arrays)
    except NotFound:  # deleted, or its arrays were: there is nothing left to go on from
        start = {}
    except StorageFull:
        return False
    jobs.settle(job_id, start)
    return True


def _before(accepted: Accepted, jobs: JobStore) -> tuple[Accepted, Finished] | None:
    """Return the job before it that has ended, None while it has not; one cancelled as it waited does not count."""
    while True:
        assert accepted.after is not None
        accepted = jobs.accepted(accepted.after)
        finished = jobs.finished(accepted.job_id)
        if finished is None:
            return None
        if finished.result is not None or not jobs.waits(accepted.job_id):
            return accepted, finished


def _start(spec: SolveSpec, before: Accepted, finished: Finished, arrays: ArrayStore) -> dict[str, str]:
    """Go on from the answer; from a job without one, start where it did."""
    if finished.result is not None:
        return starting_arrays(spec, finished.result, arrays)
    own = before.arrays()
    return {name: own[name] for name in spec.continues if name in own}


def next_in_line(ended: Accepted, jobs: JobStore, arrays: ArrayStore) -> Accepted | None:
    """Return the job that waited for this one and may start now, None if there is none."""
    try:
        while ended.then is not None:
            following = jobs.accepted(ended.then)
            if not jobs.is_finished(following.job_id):
                return following if may_start(following.job_id, jobs, arrays) else None
            ended = following
    except NotFound:  # deleted: the reconciler finds the one after it
        pass
    return None
