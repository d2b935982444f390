"""Redis dies, the service dies, the disk fills: reads go on, submits are refused, nothing accepted is lost."""

import signal
from pathlib import Path

import httpx

from tests.conftest import Valkey, _wait_until
from tests.service.conftest import Service, example, refusal, running_service, running_valkey, submit


def test_without_redis_reads_go_on_and_submits_get_503(own_service: Service, own_valkey: Valkey) -> None:
    with own_service.client() as client:
        job = submit(client, tags=["kept"])
        own_valkey.kill()
        answer = client.post("/solve", json=example())
        assert refusal(answer, 503)["type"].endswith("queue-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert refusal(client.get("/readyz"), 503)["source"] == {"check": "redis"}
        assert client.get("/livez").status_code == 200
        found = client.get(f"/jobs/{job['id']}").json()
        assert (found["status"], found["queue_position"]) == ("queued", None)
        assert [each["id"] for each in client.get("/jobs", params={"tag": "kept"}).json()["jobs"]] == [
            job["id"]
        ]
        for path in ("/trace", "/cancel"):
            method = "POST" if path == "/cancel" else "GET"
            assert client.request(method, f"/jobs/{job['id']}{path}").status_code == 200
        assert "newtond_redis_up 0.0" in client.get("/metrics").text
        assert client.get(f"/arrays/{job['inputs']['A']}").status_code == 200


def test_redis_comes_back(own_service: Service, own_valkey: Valkey) -> None:
    with own_service.client() as client:
        own_valkey.kill()
        refusal(client.post("/solve", json=example()), 503)
        own_valkey.start()
        _wait_until(lambda: client.get("/readyz").is_success, 10)
        submit(client)


def test_a_wiped_redis_is_filled_again(own_service: Service, own_valkey: Valkey) -> None:
    import redis

    with own_service.client() as client:
        job_id = submit(client)["id"]
        redis.Redis.from_url(own_valkey.url).flushall()
        _wait_until(lambda: client.get(f"/jobs/{job_id}").json()["queue_position"] is not None, 10)


def test_a_killed_service_has_lost_nothing(own_service: Service) -> None:
    with own_service.client() as client:
        headers = {"Idempotency-Key": "survives"}
        job_id = client.post("/solve", json=example(), headers=headers).json()["id"]
        own_service.stop(signal.SIGKILL)
        own_service.start()
    with own_service.client() as client:
        assert client.get(f"/jobs/{job_id}").json()["status"] == "queued"
        assert client.post("/solve", json=example(), headers=headers).json()["id"] == job_id


def test_it_stops_while_a_stream_is_open(own_service: Service) -> None:
    with own_service.client() as client:
        job_id = submit(client)["id"]
        headers = {"Accept": "text/event-stream"}
        with client.stream("GET", f"/jobs/{job_id}/trace", headers=headers) as answer:
            assert answer.status_code == 200
            assert own_service.stop() == 0


def test_a_disk_nearly_full_takes_nothing_new(tmp_path: Path) -> None:
    with (
        running_valkey() as valkey,
        running_service(tmp_path, valkey.url, low_water_bytes=10**18) as service,
        service.client() as client,
    ):
        assert refusal(client.post("/solve", json=example()), 503)["type"].endswith("storage-low")
        upload = client.post("/arrays", content=b"1", headers={"Content-Type": "application/json"})
        assert refusal(upload, 503)["type"].endswith("storage-low")
        assert refusal(client.get("/readyz"), 503)["source"] == {"check": "disk"}


def test_a_caller_that_leaves_leaves_nothing(own_service: Service) -> None:
    def broken() -> object:
        yield b"\x93NUMPY"
        raise ConnectionError("the caller leaves")

    with own_service.client() as client:
        try:
            client.post("/arrays", content=broken(), headers={"Content-Type": "application/x-npy"})
        except (ConnectionError, httpx.TransportError):
            incoming = own_service.data_dir / "incoming"
            _wait_until(lambda: not any(incoming.iterdir()), 5)
    assert "Traceback" not in own_service.log.read_text()
