"""What an operator sees: health, limits, metrics, logs, and errors that tell nothing they should not."""

import json

import httpx
import pytest

import newtond
from newtond.contract.problem import PROBLEMS
from tests.service.conftest import Service, example, refusal, submit


def test_it_lives_and_is_ready(idle: httpx.Client) -> None:
    for path in ("/livez", "/readyz"):
        assert idle.get(path).json() == {"status": "ok"}
    assert idle.get("/version").json()["newtond"] == newtond.__version__


def test_limits_are_shown(idle: httpx.Client) -> None:
    limits = idle.get("/limits").json()
    assert (limits["json_bytes"], limits["inflation_ratio"], limits["job_seconds"]) == (1_000_000, 200, 21600)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_the_catalogue(idle: httpx.Client, kind: str) -> None:
    listed = {problem["kind"]: problem for problem in idle.get("/problems").json()["problems"]}
    assert set(listed) == set(PROBLEMS)
    entry = idle.get(listed[kind]["href"]).json()
    assert {name: entry[name] for name in listed[kind]} == listed[kind]
    assert set(entry["example"]) <= set(entry["schema"]["properties"])
    assert set(entry["schema"]["required"]) <= set(entry["example"])


def test_an_unknown_kind(idle: httpx.Client) -> None:
    assert "hyperbolic" in refusal(idle.get("/problems/tea"), 404)["detail"]


@pytest.mark.parametrize(
    "path", ["/nowhere", "/jobs/", "/arrays/", "//jobs", "/%00", "/jobs/%0d%0aSet-Cookie:x"]
)
def test_no_such_path(idle: httpx.Client, path: str) -> None:
    refusal(idle.get(path, follow_redirects=False), 404)


def test_another_method(idle: httpx.Client) -> None:
    answer = idle.put("/solve", json={})
    refusal(answer, 405)
    assert answer.headers["allow"] == "POST"
    job = idle.put("/jobs/job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG")
    refusal(job, 405)
    assert job.headers["allow"] == "DELETE, GET"


def test_every_answer_has_an_id(idle: httpx.Client) -> None:
    assert idle.get("/livez").headers["x-request-id"].startswith("req_")
    sane = idle.get("/nowhere", headers={"X-Request-ID": "mine-1.2:3"})
    assert sane.headers["x-request-id"] == refusal(sane, 404)["request_id"] == "mine-1.2:3"
    for strange in ("a b", "x" * 65, "<script>", '{"a":1}'):
        answer = idle.get("/livez", headers={"X-Request-ID": strange})
        assert answer.headers["x-request-id"].startswith("req_")


def test_metrics_count(idle: httpx.Client) -> None:
    submit(idle)
    refusal(idle.post("/solve", json={}), 422)
    text = idle.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines['newtond_requests_total{method="POST",route="/solve",status="202"}']) >= 1
    assert float(lines['newtond_refusals_total{type="invalid-spec"}']) >= 1
    assert float(lines["newtond_queue_depth"]) >= 1
    assert float(lines["newtond_job_age_seconds"]) > 0
    assert float(lines["newtond_queue_age_seconds"]) > 0
    assert float(lines["newtond_redis_up"]) == 1
    assert "nowhere" not in text


def test_metrics_count_what_was_solved(working: httpx.Client) -> None:
    working.post("/solve", json=example(), headers={"Prefer": "wait=60"})
    line = 'newtond_jobs_finished{kind="hyperbolic",status="succeeded",task="solve",termination="converged"}'
    text = working.get("/metrics").text
    assert line in text
    assert 'newtond_phase_seconds{kind="hyperbolic",phase="certificate",task="solve"}' in text
    stored = next(
        line for line in text.splitlines() if line.startswith('newtond_stored_bytes{tenant="default"}')
    )
    assert float(stored.rpartition(" ")[2]) > 0


def test_logs_are_json_with_ids(idle: httpx.Client, idle_service: Service) -> None:
    answer = idle.post("/solve", json=example(), headers={"X-Request-ID": "to-be-found"})
    lines = [json.loads(line) for line in idle_service.log.read_text().splitlines()]
    (accepted,) = (
        line for line in lines if line.get("request_id") == "to-be-found" and line["event"] == "job accepted"
    )
    assert (accepted["job_id"], accepted["kind"]) == (answer.json()["id"], "hyperbolic")
    (request,) = (
        line for line in lines if line.get("request_id") == "to-be-found" and line["event"] == "request"
    )
    assert (request["route"], request["status"]) == ("/solve", 202)


def test_a_defect_of_ours_says_nothing_of_itself(idle: httpx.Client, idle_service: Service) -> None:
    job_id = submit(idle)["id"]
    accepted = idle_service.data_dir / "jobs" / job_id / "accepted.json"
    kept = accepted.read_bytes()
    accepted.write_bytes(b"torn")
    try:
        answer = idle.get(f"/jobs/{job_id}")
    finally:
        accepted.write_bytes(kept)
    problem = refusal(answer, 500)
    assert "torn" not in answer.text
    assert str(idle_service.data_dir) not in answer.text
    assert "Traceback" not in answer.text
    assert problem["request_id"] in idle_service.log.read_text()
