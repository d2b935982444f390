"""A trace: as a page, as lines, as a table, and as events that replay, follow and end."""

import csv
import io
import json
from typing import Any

import httpx
import pytest

from tests.service.conftest import Service, finish, refusal, submit, submit_slow

Event = tuple[str, str | None, dict[str, Any]]


def events(client: httpx.Client, job_id: str, **headers: str) -> list[Event]:
    """Read an event stream to its end."""
    found: list[Event] = []
    wanted = {"Accept": "text/event-stream", **headers}
    with client.stream("GET", f"/jobs/{job_id}/trace", headers=wanted) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for block in "".join(answer.iter_text()).split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "event" in fields:
                found.append((fields["event"], fields.get("id"), json.loads(fields["data"])))
    return found


@pytest.fixture(scope="module")
def solved(working_service: Service) -> str:
    with working_service.client() as client:
        return str(finish(client, submit(client)["id"])["id"])


def records(client: httpx.Client, job_id: str, **query: Any) -> Any:
    return client.get(f"/jobs/{job_id}/trace", params=query).json()


def test_pages(working: httpx.Client, solved: str) -> None:
    whole = records(working, solved)
    assert whole["finished"]
    assert [record["iteration"] for record in whole["records"]] == list(range(len(whole["records"])))
    first = records(working, solved, limit=2)
    assert (first["records"], first["after"], first["finished"]) == (whole["records"][:2], 1, False)
    rest = records(working, solved, after=first["after"])
    assert (rest["records"], rest["finished"]) == (whole["records"][2:], True)
    beyond = records(working, solved, after=rest["after"])
    assert (beyond["records"], beyond["after"]) == ([], rest["after"])


def test_lines_and_table_say_the_same(working: httpx.Client, solved: str) -> None:
    page = records(working, solved)["records"]
    lines = working.get(f"/jobs/{solved}/trace", headers={"Accept": "application/x-ndjson"}).text
    assert [json.loads(line) for line in lines.splitlines()] == page
    table = working.get(f"/jobs/{solved}/trace", headers={"Accept": "text/csv"}).text
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [float(row["loss"]) for row in rows] == [record["loss"] for record in page]
    assert {f"{phase}_seconds" for phase in page[0]["phases"]} <= set(rows[0])


def test_another_representation(working: httpx.Client, solved: str) -> None:
    refusal(working.get(f"/jobs/{solved}/trace", headers={"Accept": "image/png"}), 406)


def test_events_are_replayed_and_end(working: httpx.Client, solved: str) -> None:
    page, found = records(working, solved)["records"], events(working, solved)
    assert [data for name, _, data in found if name == "iteration"] == page
    assert [id for _, id, _ in found[:-1]] == [str(record["iteration"]) for record in page]
    assert (found[-1][0], found[-1][2]["status"]) == ("end", "succeeded")


def test_events_go_on_where_they_stopped(working: httpx.Client, solved: str) -> None:
    whole = events(working, solved)
    assert events(working, solved, **{"Last-Event-ID": "1"}) == whole[2:]
    assert events(working, solved, **{"Last-Event-ID": "100000"}) == whole[-1:]
    refusal(
        working.get(f"/jobs/{solved}/trace", headers={"Accept": "text/event-stream", "Last-Event-ID": "x"}),
        422,
    )


def test_events_follow_a_running_job(working: httpx.Client) -> None:
    job_id = submit_slow(working)
    before: list[str] = []
    last = ""
    with working.stream("GET", f"/jobs/{job_id}/trace", headers={"Accept": "text/event-stream"}) as answer:
        for line in answer.iter_lines():
            if line.startswith("event: iteration") and len(before) < 3:
                before.append(working.get(f"/jobs/{job_id}").json()["status"])
                if len(before) == 3:
                    working.post(f"/jobs/{job_id}/cancel")
            last = line or last
    assert "running" in before
    assert json.loads(last.removeprefix("data: "))["status"] == "cancelled"


def test_a_silent_stream_is_kept_alive_and_ends_with_a_deletion(own_service: Service) -> None:
    with own_service.client() as client:
        job_id = submit(client)["id"]
        seen: list[str] = []
        with client.stream("GET", f"/jobs/{job_id}/trace", headers={"Accept": "text/event-stream"}) as answer:
            for line in answer.iter_lines():
                seen.append(line)
                if line == ": keep-alive" and seen.count(line) == 2:
                    assert client.delete(f"/jobs/{job_id}").status_code == 204
    assert seen[-3:] == ["event: end", "data: {}", ""]


def test_events_of_nothing(idle: httpx.Client) -> None:
    path = "/jobs/job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG/trace"
    refusal(idle.get(path, headers={"Accept": "text/event-stream"}), 404)
