"""Keys, scopes and tenants over real HTTP: what opens, what does not, and what a stranger can learn."""

import http.client
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from newtond.store.credentials import Credentials
from tests.conftest import WorkerProcesses
from tests.service.conftest import (
    Service,
    example,
    finish,
    npy,
    refusal,
    running_service,
    running_valkey,
    submit,
)

NPY = {"Content-Type": "application/x-npy"}


@pytest.fixture(scope="module")
def keyed(service_root: Path) -> Iterator[Service]:
    """A service with keys and a worker of its own."""
    with (
        running_valkey() as valkey,
        running_service(service_root / "keyed", valkey.url, reconcile_seconds=0.3) as service,
        WorkerProcesses(valkey.url, service.data_dir) as start_worker,
    ):
        Credentials(service.data_dir).create("unused")
        start_worker()
        yield service


def enter(service: Service, tenant: str, *scopes: str) -> httpx.Client:
    key, _ = Credentials(service.data_dir).create(tenant, scopes or ("solve", "read"))
    return httpx.Client(base_url=service.url, timeout=70, headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
def acme(keyed: Service) -> Iterator[httpx.Client]:
    with enter(keyed, "acme") as client:
        yield client


@pytest.fixture
def zeta(keyed: Service) -> Iterator[httpx.Client]:
    with enter(keyed, "zeta") as client:
        yield client


@pytest.fixture
def stranger(keyed: Service) -> Iterator[httpx.Client]:
    with keyed.client() as client:
        yield client


def unauthorised(answer: httpx.Response) -> None:
    refusal(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer ")


IDS = {
    "job_id": "job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG",
    "batch_id": "batch_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG",
    "array_id": "sha256:" + "0" * 64,
    "name": "x",
    "kind": "hyperbolic",
}
PUBLIC = ("/livez", "/readyz", "/version", "/docs", "/openapi.json", "/problems", "/problems/hyperbolic")


@pytest.mark.parametrize("path", PUBLIC)
def test_what_is_for_everyone(stranger: httpx.Client, path: str) -> None:
    assert stranger.get(path).status_code == 200


def test_all_else_needs_a_key(stranger: httpx.Client) -> None:
    document = stranger.get("/openapi.json").json()
    closed = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answer = stranger.request(method, path.format(**IDS))
            if path in PUBLIC or path in ("/metrics", "/problems/{kind}"):
                assert answer.status_code != 401
            else:
                unauthorised(answer)
                assert operation["security"] == [{"key": []}]
                closed += 1
    assert closed >= 12


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ntd_x", "Basic bmV3dG9uZDpuZXd0b25k", "bearer " + "a" * 7000, "ntd_ü"],
)
def test_what_is_no_key(stranger: httpx.Client, header: str) -> None:
    unauthorised(stranger.get("/jobs", headers=[(b"Authorization", header.encode("latin-1"))]))


def test_two_keys_are_none(acme: httpx.Client) -> None:
    key = acme.headers["authorization"]
    answer = acme.get("/jobs", headers=[("Authorization", key), ("Authorization", key)])
    unauthorised(answer)


def test_a_key_is_asked_for_before_the_body_is_read(keyed: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", keyed.port, timeout=10)
    connection.putrequest("POST", "/solve")
    for name, value in (("Content-Type", "application/json"), ("Content-Length", "900000")):
        connection.putheader(name, value)
    connection.endheaders()
    began = time.monotonic()
    assert connection.getresponse().status == 401
    assert time.monotonic() - began < 5
    connection.close()


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        ("read", "GET", "/jobs", 200),
        ("read", "GET", "/limits", 200),
        ("read", "POST", "/solve", 403),
        ("read", "POST", "/arrays", 403),
        ("read", "DELETE", "/jobs/job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG", 403),
        ("read", "POST", "/jobs/job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG/cancel", 403),
        ("solve", "GET", "/jobs", 403),
        ("solve", "POST", "/solve", 422),
        ("admin", "GET", "/jobs", 200),
        ("admin", "POST", "/solve", 422),
    ],
)
def test_scopes(keyed: Service, scope: str, method: str, path: str, status: int) -> None:
    with enter(keyed, "scoped", scope) as client:
        answer = client.request(method, path, json={} if method == "POST" else None)
        assert answer.status_code == status, answer.text
        if status == 403:
            assert refusal(answer, 403)["source"]["scope"] in ("read", "solve")


def test_metrics_are_for_admins_and_for_this_machine(keyed: Service, stranger: httpx.Client) -> None:
    assert stranger.get("/metrics").status_code == 200
    proxied = {"X-Forwarded-For": "127.0.0.1"}
    unauthorised(stranger.get("/metrics", headers=proxied))
    with enter(keyed, "acme") as client, enter(keyed, "acme", "admin") as admin:
        refusal(client.get("/metrics", headers=proxied), 403)
        assert admin.get("/metrics", headers=proxied).status_code == 200


def test_a_running_service_sees_a_revocation(keyed: Service) -> None:
    key, kept = Credentials(keyed.data_dir).create("acme")
    with httpx.Client(base_url=keyed.url, headers={"Authorization": f"Bearer {key}"}) as client:
        assert client.get("/jobs").status_code == 200
        Credentials(keyed.data_dir).revoke(kept.id)
        unauthorised(client.get("/jobs"))


def test_a_foreign_id_is_not_there(acme: httpx.Client, zeta: httpx.Client) -> None:
    job = submit(acme)
    job_id, A = job["id"], job["inputs"]["A"]
    assert finish(acme, job_id)["status"] == "succeeded"
    paths = [f"/jobs/{job_id}{end}" for end in ("", "/trace", "/result", "/result/x")] + [f"/arrays/{A}"]
    nobody = "job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG"
    for path in paths:
        assert acme.get(path).status_code == 200
        mine = refusal(zeta.get(path), 404)
        absent = path.replace(job_id, nobody).replace(A, "sha256:" + "0" * 64)
        theirs = refusal(zeta.get(absent), 404)
        assert mine["detail"].replace(job_id, "").replace(A, "") == theirs["detail"].replace(
            nobody, ""
        ).replace("sha256:" + "0" * 64, "")
    refusal(zeta.post(f"/jobs/{job_id}/cancel"), 404)
    refusal(zeta.delete(f"/jobs/{job_id}"), 404)
    refusal(zeta.delete(f"/arrays/{A}"), 404)
    spec = {"problem": example()["problem"], "A": A, "b": job["inputs"]["b"]}
    assert refusal(zeta.post("/solve", json=spec), 404)["source"] == {"pointer": "/A"}
    assert job_id not in [each["id"] for each in zeta.get("/jobs").json()["jobs"]]
    assert job_id in [each["id"] for each in acme.get("/jobs").json()["jobs"]]
    assert acme.get(f"/jobs/{job_id}").status_code == 200


def test_a_foreign_batch_is_not_there(acme: httpx.Client, zeta: httpx.Client) -> None:
    body = {"solve": example(), "ridges": [1.0]}
    batch_id = acme.post("/batches", json=body).json()["id"]
    refusal(zeta.get(f"/batches/{batch_id}"), 404)
    refusal(zeta.delete(f"/batches/{batch_id}"), 404)
    assert [each["id"] for each in acme.get("/batches").json()["batches"]] == [batch_id]
    assert zeta.get("/batches").json()["batches"] == []


def test_one_idempotency_key_of_two_tenants(acme: httpx.Client, zeta: httpx.Client) -> None:
    headers = {"Idempotency-Key": "shared"}
    ids = [
        client.post("/solve", json=example(), headers=headers).json()["id"] for client in (acme, zeta, acme)
    ]
    assert ids[0] == ids[2] != ids[1]


def test_two_keys_of_one_tenant_share(keyed: Service, acme: httpx.Client) -> None:
    job_id = submit(acme)["id"]
    with enter(keyed, "acme", "read") as other:
        assert other.get(f"/jobs/{job_id}").status_code == 200


def test_an_upload_says_nothing_of_anothers(acme: httpx.Client, zeta: httpx.Client) -> None:
    """Not in its status, and not in its time: both tenants write the whole array, whatever the other has."""
    generator = np.random.default_rng(11)
    known, unknown = [], []
    for _ in range(12):
        theirs, fresh = npy(generator.normal(size=50_000)), npy(generator.normal(size=50_000))
        assert acme.post("/arrays", content=theirs, headers=NPY).status_code == 201
        for body, times in ((theirs, known), (fresh, unknown)):
            began = time.perf_counter()
            assert zeta.post("/arrays", content=body, headers=NPY).status_code == 201
            times.append(time.perf_counter() - began)
    assert 0.4 < statistics.median(known) / statistics.median(unknown) < 2.5
    assert zeta.post("/arrays", content=theirs, headers=NPY).status_code == 200


def test_the_first_key_closes_a_running_service(own_service: Service) -> None:
    with own_service.client() as client:
        assert client.get("/jobs").status_code == 200
        command = [Path(sys.executable).with_name("newtond")]
        made = subprocess.run(
            [*command, "keys", "create", "--data-dir", str(own_service.data_dir), "--scopes", "read"],
            capture_output=True,
            text=True,
            check=True,
        )
        unauthorised(client.get("/jobs"))
        key = made.stdout.strip()
        assert client.get("/jobs", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        listed = subprocess.run(
            [*command, "keys", "list", "--data-dir", str(own_service.data_dir)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert key.split("_")[1] in listed.stdout
        assert key.split("_")[2] not in listed.stdout + own_service.log.read_text()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000"}, 200),
    ],
)
def test_without_keys_no_other_site_gets_in(idle: httpx.Client, headers: dict[str, str], status: int) -> None:
    assert idle.get("/jobs", headers=headers).status_code == status


def test_it_does_not_listen_beyond_loopback_without_keys(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("newtond")]
    for part in ("service", "up"):
        refused = subprocess.run(
            [*command, part, "--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path / "data")],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert refused.returncode == 1
        assert "newtond: 0.0.0.0 is reached from beyond this machine" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"allow_anonymous_from_anywhere": "true"},
        {"published": "127.0.0.1:8000"},
    ],
)
def test_in_so_many_words_it_does(tmp_path: Path, settings: dict[str, str]) -> None:
    with running_service(tmp_path, "redis://127.0.0.1:1", host="0.0.0.0", **settings) as service:
        assert httpx.get(f"{service.url}/jobs").status_code == 200


def test_a_published_port_needs_keys(tmp_path: Path) -> None:
    service = Service(tmp_path / "data", "redis://127.0.0.1:1", {"published": "0.0.0.0:8000"})
    with pytest.raises(AssertionError, match=r"0\.0\.0\.0 is reached"):
        service.start()
    service.process = None


def test_logs_name_the_tenant_and_no_key(keyed: Service, acme: httpx.Client) -> None:
    acme.get("/jobs", headers={"X-Request-ID": "named"})
    lines = [json.loads(line) for line in keyed.log.read_text().splitlines()]
    assert [line["tenant"] for line in lines if line.get("request_id") == "named"] == ["acme"]
    assert acme.headers["authorization"].rpartition("_")[2] not in keyed.log.read_text()
