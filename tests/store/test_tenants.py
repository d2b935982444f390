"""Tenants: a share each, in the same layout, found by the files alone."""

from collections.abc import Callable

import numpy as np
import pytest

from newtond.contract.errors import InvalidSpec, NotFound, SetupError
from newtond.contract.job import Accepted
from newtond.store import DataDirectory
from newtond.store.queue import JobQueue

Accept = Callable[..., Accepted]


def test_the_default_tenant_lies_at_the_root(data: DataDirectory) -> None:
    assert data.tenant("default") is data.default
    assert data.jobs.root == data.path / "jobs"
    assert [tenant.name for tenant in data.tenants()] == ["default"]


def test_the_same_array_in_two_tenants_is_two(data: DataDirectory) -> None:
    acme, zeta = data.tenant("acme"), data.tenant("zeta")
    info, new = acme.arrays.put_dense(np.eye(2))
    assert new
    assert not zeta.arrays.exists(info.id)
    assert zeta.arrays.put_dense(np.eye(2)) == (zeta.arrays.info(info.id), True)
    acme.arrays.delete(info.id)
    assert zeta.arrays.exists(info.id)
    assert [tenant.name for tenant in DataDirectory(data.path).tenants()] == ["default", "acme", "zeta"]


def test_a_job_is_found_by_its_files_and_by_no_other_tenant(
    data: DataDirectory, make_accepted: Accept
) -> None:
    acme = data.tenant("acme")
    job_id = acme.jobs.accept(make_accepted(tenant="acme")).job_id
    assert DataDirectory(data.path).of_job(job_id).name == "acme"
    with pytest.raises(NotFound):
        data.jobs.accepted(job_id)
    with pytest.raises(NotFound):
        data.of_job("job_" + "0" * 26)


def test_one_idempotency_key_in_two_tenants_is_two_jobs(data: DataDirectory, make_accepted: Accept) -> None:
    first, second = (
        data.tenant(name).jobs.accept(make_accepted(tenant=name, idempotency_key="k")) for name in ("a", "b")
    )
    assert first.job_id != second.job_id


@pytest.mark.parametrize("name", ["..", "a/b", "A", "", "-a", "a" * 64, "a\n"])
def test_what_is_no_name_of_a_tenant_is_refused(data: DataDirectory, name: str) -> None:
    with pytest.raises(InvalidSpec):
        data.tenant(name)


def test_folders_of_others_are_left_alone(data: DataDirectory) -> None:
    (data.path / "tenants" / "lost+found").mkdir(parents=True)
    assert [tenant.name for tenant in data.tenants()] == ["default"]


@pytest.mark.parametrize(("content", "words"), [("newtond data 2\n", "format 2"), ("else", "another's")])
def test_a_directory_of_a_newer_format_or_of_others_is_refused(
    data: DataDirectory, content: str, words: str
) -> None:
    (data.path / "format").write_text(content)
    with pytest.raises(SetupError, match=words):
        DataDirectory(data.path)


def test_a_wiped_redis_is_filled_again_for_every_tenant(
    data: DataDirectory, queue: JobQueue, make_accepted: Accept
) -> None:
    lost = {
        name: data.tenant(name).jobs.accept(make_accepted(tenant=name)).job_id for name in ("acme", "zeta")
    }
    assert set(queue.reconcile(data)) == set(lost.values())
    assert queue.reconcile(data) == []
    assert (queue.depth(), queue.waiting("acme"), queue.waiting("zeta"), queue.waiting("default")) == (
        2,
        1,
        1,
        0,
    )
    assert queue.position(lost["zeta"], "zeta") == 0
    assert queue.take(["solve"], None) is None
    assert queue.take(["solve:acme"], None) == lost["acme"]


def test_running_jobs_of_a_queue_have_a_bound(queue: JobQueue) -> None:
    assert queue.claim("job_1", "a", "solve:acme", 2) == "held"
    assert queue.claim("job_2", "b", "solve:acme", 2) == "held"
    assert queue.claim("job_3", "c", "solve:acme", 2) == "full"
    assert queue.claim("job_3", "c", "solve:zeta", 2) == "held"
    assert queue.claim("job_1", "z", "solve:acme", 2) == "taken"
    assert queue.claim("job_1", "a", "solve:acme", 2) == "held"
    assert queue.running_in(["solve:acme", "solve:zeta", "solve"]) == [2, 1, 0]
    queue.release("job_1", "a", "solve:acme")
    assert queue.claim("job_4", "d", "solve:acme", 2) == "held"


def test_a_lease_that_ran_out_makes_room(queue: JobQueue, wait_until: "Callable[..., None]") -> None:
    assert queue.claim("job_1", "a", "solve", 1) == "held"
    assert queue.claim("job_2", "b", "solve", 1) == "full"
    wait_until(lambda: queue.claim("job_2", "b", "solve", 1) == "held", 5)
    assert queue.running_in(["solve"]) == [1]
