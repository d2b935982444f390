"""Jobs: lists, ETags, long polls, cancels, deletions."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.service.conftest import Service, finish, refusal, submit, submit_slow

NOBODY = "job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG"


def test_pages_newest_first(idle: httpx.Client) -> None:
    ids = [submit(idle, tags=["pages"])["id"] for _ in range(3)]
    first = idle.get("/jobs", params={"tag": "pages", "limit": 2}).json()
    assert [job["id"] for job in first["jobs"]] == ids[:0:-1]
    second = idle.get("/jobs", params={"tag": "pages", "limit": 2, "after": first["after"]}).json()
    assert [job["id"] for job in second["jobs"]] == ids[:1]
    assert second["after"] is None


def test_a_list_by_status(idle: httpx.Client) -> None:
    kept, stopped = (submit(idle, tags=["status"])["id"] for _ in range(2))
    idle.post(f"/jobs/{stopped}/cancel")
    for status, expected in (("queued", [kept]), ("cancelled", [stopped]), ("failed", [])):
        page = idle.get("/jobs", params={"tag": "status", "status": status}).json()
        assert [job["id"] for job in page["jobs"]] == expected


def listed(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    return list(client.get("/jobs", params=query).raise_for_status().json()["jobs"])


def test_a_list_says_what_each_job_says_before_and_after_its_end(working: httpx.Client) -> None:
    slow, quick = submit_slow(working), submit(working)["id"]
    assert [job["id"] for job in listed(working, limit=2)] == [quick, slow]
    working.post(f"/jobs/{slow}/cancel")
    for job in (slow, quick):
        finish(working, job)
    for _ in range(2):
        assert listed(working, limit=2) == [working.get(f"/jobs/{job}").json() for job in (quick, slow)]


def test_an_ended_job_is_read_once_for_its_lists_and_is_gone_when_it_is_deleted(
    own_service: Service,
) -> None:
    with own_service.client() as client:
        kept, purged, other = (submit(client, tags=["ended"])["id"] for _ in range(3))
        for job in (kept, purged):
            client.post(f"/jobs/{job}/cancel")
        before = listed(client, tag="ended")
        assert [job["status"] for job in before] == ["queued", "cancelled", "cancelled"]
        accepted = own_service.data_dir / "jobs" / kept / "accepted.json"
        content = accepted.read_bytes()
        accepted.write_bytes(b"unreadable")
        assert listed(client, tag="ended") == before
        accepted.write_bytes(content)
        client.delete(f"/jobs/{purged}")
        client.post(f"/jobs/{other}/cancel")
        assert [(job["id"], job["status"]) for job in listed(client, tag="ended")] == [
            (other, "cancelled"),
            (kept, "cancelled"),
        ]
        (own_service.data_dir / "jobs" / kept / "finished.json").rename(own_service.data_dir / "away")
        assert listed(client, tag="ended")[1]["status"] == "queued"
        (own_service.data_dir / "away").rename(own_service.data_dir / "jobs" / kept / "finished.json")
        after = listed(client, tag="ended")
    own_service.kill()
    own_service.start()
    with own_service.client() as client:
        assert listed(client, tag="ended") == after


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"after": "../.."}, {"status": "lost"}])
def test_a_list_asked_for_badly(idle: httpx.Client, query: dict[str, str]) -> None:
    assert refusal(idle.get("/jobs", params=query), 422)["source"]["parameter"] in query


@pytest.mark.parametrize("job_id", [NOBODY, "job_1", "..%2f..%2fetc", "job_" + "I" * 26])
@pytest.mark.parametrize("end", ["", "/trace", "/result", "/result/x"])
def test_no_such_job(idle: httpx.Client, job_id: str, end: str) -> None:
    refusal(idle.get(f"/jobs/{job_id}{end}"), 404)


def test_no_such_job_to_stop(idle: httpx.Client) -> None:
    refusal(idle.post(f"/jobs/{NOBODY}/cancel"), 404)
    refusal(idle.delete(f"/jobs/{NOBODY}"), 404)


def test_a_known_state_is_not_sent_twice(idle: httpx.Client) -> None:
    job = submit(idle)
    first = idle.get(f"/jobs/{job['id']}")
    again = idle.get(f"/jobs/{job['id']}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    idle.post(f"/jobs/{job['id']}/cancel")
    changed = idle.get(f"/jobs/{job['id']}", headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200


def test_a_long_poll_ends_in_time(idle: httpx.Client) -> None:
    job, began = submit(idle), time.monotonic()
    answer = idle.get(f"/jobs/{job['id']}", headers={"Prefer": "wait=1"})
    assert 1 <= time.monotonic() - began < 5
    assert answer.headers["preference-applied"] == "wait=1"
    assert answer.json()["status"] == "queued"


def test_a_long_poll_ends_with_the_job(idle: httpx.Client) -> None:
    job = submit(idle)
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(idle.get, f"/jobs/{job['id']}", headers={"Prefer": "wait=30"})
        time.sleep(0.3)
        assert not poll.done()
        idle.post(f"/jobs/{job['id']}/cancel")
        assert poll.result(5).json()["status"] == "cancelled"


def test_a_long_poll_with_a_tag_ends_with_each_change(idle: httpx.Client) -> None:
    job = submit(idle)
    first = idle.get(f"/jobs/{job['id']}")

    def changed(known: httpx.Response) -> httpx.Response:
        headers = {"Prefer": "wait=30", "If-None-Match": known.headers["etag"]}
        return idle.get(f"/jobs/{job['id']}", headers=headers)

    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(changed, first)
        time.sleep(0.3)
        assert not poll.done()
        idle.post(f"/jobs/{job['id']}/cancel")
        answer = poll.result(5)
    if answer.json()["status"] == "queued":  # seen between the wish to cancel and the end
        assert answer.json()["cancel_requested"]
        answer = changed(answer)
    assert answer.json()["status"] == "cancelled"


def test_a_job_cancelled_while_queued_is_finished_at_once(idle: httpx.Client) -> None:
    job = submit(idle)
    first, again = (idle.post(f"/jobs/{job['id']}/cancel") for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.json()["status"] == first.json()["termination"] == "cancelled"
    assert first.json() == again.json()
    problem = refusal(idle.get(f"/jobs/{job['id']}/result"), 409)
    assert problem["source"]["status"] == "cancelled"


def test_a_finished_job_stays_as_it_is(working: httpx.Client) -> None:
    job = finish(working, submit(working)["id"])
    answer = working.post(f"/jobs/{job['id']}/cancel")
    assert (answer.status_code, answer.json()) == (200, job)


def test_a_running_job_is_cancelled_with_its_best_iterate(working: httpx.Client) -> None:
    job_id = submit_slow(working)
    while working.get(f"/jobs/{job_id}").json()["iteration"] is None:
        time.sleep(0.05)
    assert working.post(f"/jobs/{job_id}/cancel").json()["cancel_requested"]
    job = finish(working, job_id)
    assert (job["status"], job["termination"], job["converged"]) == ("cancelled", "cancelled", False)
    assert working.get(f"/jobs/{job_id}/result").json()["arrays"]["x"]["shape"] == [20]


def test_a_deleted_job_is_gone_and_its_key_is_free(idle: httpx.Client) -> None:
    headers = {"Idempotency-Key": "to be freed".replace(" ", "-")}
    body = {"problem": {"kind": "least_squares"}, "A": [[1.0]], "b": [2.0]}
    job_id = idle.post("/solve", json=body, headers=headers).json()["id"]
    assert idle.delete(f"/jobs/{job_id}").status_code == 204
    refusal(idle.get(f"/jobs/{job_id}"), 404)
    assert idle.post("/solve", json=body, headers=headers).json()["id"] != job_id


def test_a_running_job_is_deleted_when_it_has_stopped(working: httpx.Client) -> None:
    job_id = submit_slow(working)
    while working.get(f"/jobs/{job_id}").json()["iteration"] is None:
        time.sleep(0.05)
    assert working.delete(f"/jobs/{job_id}").status_code == 202
    deadline = time.monotonic() + 30
    while working.get(f"/jobs/{job_id}").status_code != 404:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_result_that_is_not_ready(idle: httpx.Client) -> None:
    job = submit(idle)
    refusal(idle.get(f"/jobs/{job['id']}/result"), 409)
    refusal(idle.get(f"/jobs/{job['id']}/result/x"), 409)


def test_a_failed_job_says_why(working: httpx.Client) -> None:
    job = finish(working, submit(working, b=[-1.0] * 12, regulariser={"offset": "target"})["id"])
    assert job["status"] == "failed"
    problem = refusal(working.get(f"/jobs/{job['id']}/result"), 409)
    assert problem["source"]["error"]["source"]["pointer"] == "/regulariser/offset"
