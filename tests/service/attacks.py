"""Every attack that docs/security.md lists, run against a real service; ``make security`` writes it.

An attack returns what the service answered, in words that are the same at every run.
"""

import gzip
import io
import json
import select
import socket
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from newtond.store import DataDirectory
from newtond.store.credentials import Credentials
from newtond.store.queue import JobQueue
from tests.conftest import Valkey
from tests.service.conftest import Service, example, npy, running_service, running_valkey, submit

TARGET = Path("docs") / "security.md"
NPY, MTX, NPZ = "application/x-npy", "text/x-matrix-market", "application/x-npz"
BOUNDS = {
    "header_seconds": 1.0,
    "body_seconds": 1.0,
    "answer_seconds": 1.0,
    "body_bytes_per_second": 1_000_000,
    "address_connections": 50,
    "tenant_streams": 2,
}


@dataclass
class Ground:
    """A service with keys, its Valkey, a caller with a key, another tenant's, and one without."""

    service: Service
    valkey: Valkey
    acme: httpx.Client
    zeta: httpx.Client
    stranger: httpx.Client

    def key(self, *scopes: str, tenant: str = "acme") -> dict[str, str]:
        key, _ = Credentials(self.service.data_dir).create(tenant, scopes)
        return {"Authorization": f"Bearer {key}"}

    def raw(self, content: bytes, rest: Iterable[bytes] = ()) -> str:
        """Send bytes as they are and return the status line's number."""
        with socket.create_connection(("127.0.0.1", self.service.port), timeout=20) as line:
            line.sendall(content)
            line.settimeout(0.1)
            received = b""
            for more in rest:
                try:
                    line.sendall(more)
                    received = line.recv(65536)
                    break
                except TimeoutError:
                    continue
                except OSError:
                    break
            line.settimeout(20)
            received = received or line.recv(65536)
        return received.split()[1].decode()


Run = Callable[[Ground], str]
ATTACKS: dict[str, tuple[str, Run]] = {}


def attack(group: str, what: str) -> Callable[[Run], Run]:
    """List an attack under its words."""

    def listed(run: Run) -> Run:
        ATTACKS[what] = group, run
        return run

    return listed


def said(answer: httpx.Response) -> str:
    """Return status and error type of an answer."""
    if answer.is_success:
        return str(answer.status_code)
    return f"{answer.status_code} {answer.json()['type'].rpartition(':')[2]}"


def upload(ground: Ground, content: bytes, media_type: str, **headers: str) -> str:
    return said(ground.acme.post("/arrays", content=content, headers={"Content-Type": media_type, **headers}))


def unheard_of() -> bytes:
    """Return an array that no tenant has."""
    return npy(np.random.default_rng().normal(size=1000))


@attack("keys", "no key, to every route but health, version and catalogue")
def no_key(ground: Ground) -> str:
    return said(ground.stranger.get("/jobs"))


@attack("keys", "a key with one wrong character; another key's id with this secret")
def wrong_key(ground: Ground) -> str:
    ours, theirs = (client.headers["authorization"] for client in (ground.acme, ground.zeta))
    forged = [ours[:-1] + ("0" if ours[-1] != "0" else "1"), theirs[: len("Bearer ntd_") + 12] + ours[-65:]]
    (answer,) = {said(ground.stranger.get("/jobs", headers={"Authorization": key})) for key in forged}
    return answer


@attack("keys", "a revoked key, the moment after")
def revoked(ground: Ground) -> str:
    key, kept = Credentials(ground.service.data_dir).create("acme")
    assert ground.stranger.get("/jobs", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    Credentials(ground.service.data_dir).revoke(kept.id)
    return said(ground.stranger.get("/jobs", headers={"Authorization": f"Bearer {key}"}))


@attack("keys", "a read key that submits, uploads, cancels, deletes")
def read_writes(ground: Ground) -> str:
    job = f"/jobs/{submit(ground.acme)['id']}"
    calls = [("POST", "/solve"), ("POST", "/arrays"), ("POST", f"{job}/cancel"), ("DELETE", job)]
    (answer,) = {said(ground.stranger.request(*call, headers=ground.key("read"))) for call in calls}
    return answer


@attack("keys", "a solve key that reads the metrics through a proxy on this machine")
def metrics(ground: Ground) -> str:
    return said(ground.acme.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}))


@attack("tenants", "another tenant's job: read, trace, result, cancel, delete")
def foreign_job(ground: Ground) -> str:
    job = f"/jobs/{submit(ground.acme)['id']}"
    calls = [("GET", job), ("GET", f"{job}/trace"), ("GET", f"{job}/result")]
    calls += [("POST", f"{job}/cancel"), ("DELETE", job)]
    (answer,) = {said(ground.zeta.request(*call)) for call in calls}
    assert ground.acme.get(job).status_code == 200
    return answer


@attack("tenants", "another tenant's array: read, solve with, delete")
def foreign_array(ground: Ground) -> str:
    answer = ground.acme.post("/arrays", content=unheard_of(), headers={"Content-Type": NPY})
    array = answer.json()["id"]
    spec = {"problem": example()["problem"], "A": array, "b": array}
    answers = [ground.zeta.get(f"/arrays/{array}"), ground.zeta.post("/solve", json=spec)]
    (told,) = {said(each) for each in [*answers, ground.zeta.delete(f"/arrays/{array}")]}
    return told


@attack("tenants", "uploading what another tenant may have, to learn whether it does")
def probe_upload(ground: Ground) -> str:
    content = unheard_of()
    assert upload(ground, content, NPY) == "201"
    return said(ground.zeta.post("/arrays", content=content, headers={"Content-Type": NPY})) + ", as if new"


@attack("tenants", "another tenant's Idempotency-Key")
def foreign_idempotency(ground: Ground) -> str:
    headers = {"Idempotency-Key": "guessed"}
    first, second = (
        client.post("/solve", json=example(), headers=headers) for client in (ground.acme, ground.zeta)
    )
    assert first.json()["id"] != second.json()["id"]
    return f"{said(second)}, a job of one's own"


@attack("paths", "ids that are paths: `../`, `%2e%2e%2f`, NUL, 4 kB")
def paths(ground: Ground) -> str:
    ids = ["..", "../../etc/passwd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%00", "a" * 4096]
    answers = {said(ground.acme.get(f"/{noun}/{id}/x")) for noun in ("jobs", "arrays") for id in ids}
    (answer,) = answers
    return answer


@attack("paths", "a tenant's folder by name: `/tenants/zeta/jobs`, `/credentials`, `/format`")
def folders(ground: Ground) -> str:
    (answer,) = {said(ground.acme.get(path)) for path in ("/tenants/zeta/jobs", "/credentials", "/format")}
    return answer


HEADS = {
    "two Content-Length that differ": b"Content-Length: 1\r\nContent-Length: 2\r\n",
    "Transfer-Encoding that is not chunked": b"Transfer-Encoding: gzip\r\n",
    "two Host": b"Host: b\r\n",
    "a blank before the colon of a header": b"X : y\r\n",
    "a NUL in a header": b"X: a\x00b\r\n",
    "400 kB of headers": b"X: " + b"a" * 400_000 + b"\r\n",
}
for words, head in HEADS.items():

    @attack("headers", words)
    def strange_head(ground: Ground, head: bytes = head) -> str:
        return ground.raw(b"POST /arrays HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n")


@attack("headers", "an X-Request-ID with markup, to be found in a log or page")
def request_id(ground: Ground) -> str:
    answer = ground.acme.get("/livez", headers={"X-Request-ID": "<script>"})
    assert answer.headers["x-request-id"].startswith("req_")
    return f"{said(answer)}, with an id of ours"


@attack("slowness", "a head that drips, a byte at a time (slow loris)")
def slow_head(ground: Ground) -> str:
    return ground.raw(b"GET /livez HTTP/1.1\r\nX: ", [b"a"] * 200)


@attack("slowness", "a body that drips")
def slow_body(ground: Ground) -> str:
    head = f"POST /arrays HTTP/1.1\r\nHost: a\r\nAuthorization: {ground.acme.headers['authorization']}\r\n"
    head += f"Content-Type: {NPY}\r\nContent-Length: 99999\r\n\r\n"
    return ground.raw(head.encode(), [b"a"] * 200)


@attack("slowness", "more event streams than the tenant may hold")
def streams(ground: Ground) -> str:
    path, events = f"/jobs/{submit(ground.zeta)['id']}/trace", {"Accept": "text/event-stream"}
    with (
        ground.zeta.stream("GET", path, headers=events),
        ground.zeta.stream("GET", path, headers=events),
        ground.zeta.stream("GET", path, headers=events) as third,
    ):
        third.read()
        return said(third)


@attack("slowness", "ten large answers are asked for, none is read")
def unread(ground: Ground) -> str:
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(20)
        line.connect(("127.0.0.1", ground.service.port))
        line.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 10)
        broken = select.poll()
        broken.register(line, select.POLLHUP)
        return "cut off" if broken.poll(10_000) else "waited for"


@attack("slowness", "60 connections of one address, which may hold 50")
def crowd(ground: Ground) -> str:
    with ExitStack() as stack:
        place = ("127.0.0.1", ground.service.port)
        lines = [stack.enter_context(socket.create_connection(place, timeout=20)) for _ in range(60)]
        near = httpx.HTTPTransport(local_address="127.0.0.2")
        other = stack.enter_context(httpx.Client(base_url=ground.service.url, transport=near))
        assert other.get("/livez").is_success
        return f"{lines[-1].recv(65536).split()[1].decode()}; another address is served"


@attack("slowness", "a stop held up by an event stream, a long poll and an upload that drips")
def held_up(ground: Ground) -> str:
    root = ground.service.data_dir.parents[1] / "held-up"
    with running_service(root, ground.valkey.url, shutdown_seconds=1.0) as service, ExitStack() as stack:
        job = f"/jobs/{submit(stack.enter_context(service.client()))['id']}"
        asked = [
            f"GET {job}/trace HTTP/1.1\r\nAccept: text/event-stream\r\n",
            f"GET {job} HTTP/1.1\r\nPrefer: wait=60\r\n",
            "POST /arrays HTTP/1.1\r\nContent-Length: 9\r\n",
        ]
        for head in asked:
            line = stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            line.sendall(f"{head}Host: localhost\r\n\r\n".encode())
        time.sleep(0.5)
        began = time.monotonic()
        assert service.stop() == 0
        return "stopped in time" if time.monotonic() - began < 15 else "stopped late"


@attack("size", "Content-Length of 10 TB")
def announced(ground: Ground) -> str:
    key = ground.acme.headers["authorization"]
    return ground.raw(
        f"POST /arrays HTTP/1.1\r\nHost: a\r\nAuthorization: {key}\r\nContent-Length: {10**13}\r\n\r\n".encode()
    )


@attack("size", "JSON of 2 MB, chunked, its length not said")
def large_json(ground: Ground) -> str:
    def body() -> Iterator[bytes]:
        yield from (b" " * 100_000 for _ in range(20))

    headers = {"Content-Type": "application/json"}
    return said(ground.acme.post("/solve", content=body(), headers=headers))


@attack("size", "JSON nested 100,000 deep")
def deep_json(ground: Ground) -> str:
    body = b"[" * 100_000 + b"]" * 100_000
    return said(ground.acme.post("/solve", content=body, headers={"Content-Type": "application/json"}))


@attack("uploads", "a gzip bomb: 100 MB of blanks in 100 kB")
def gzip_bomb(ground: Ground) -> str:
    return upload(ground, gzip.compress(b" " * 100_000_000), MTX, **{"Content-Encoding": "gzip"})


@attack("uploads", "a zip bomb as .npz")
def zip_bomb(ground: Ground) -> str:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", b"\0" * 100_000_000)
    return upload(ground, file.getvalue(), NPZ)


@attack("uploads", "72 bytes of header that ask for terabytes")
def huge_header(ground: Ground) -> str:
    return upload(ground, b"%%MatrixMarket matrix array real general\n2000000 2000000\n1\n", MTX)


@attack("uploads", "a pickle inside .npy")
def pickle(ground: Ground) -> str:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return upload(ground, file.getvalue(), NPY)


@attack("uploads", "a sparse .npz with indices out of range")
def out_of_range(ground: Ground) -> str:
    file = io.BytesIO()
    parts = {"indices": np.array([9], "i4"), "indptr": np.array([0, 1], "i4"), "data": np.ones(1)}
    np.savez(file, format=b"csr", shape=np.array([1, 2]), **parts)
    return upload(ground, file.getvalue(), NPZ)


@attack("uploads", "a file name that is a path, in multipart")
def file_name(ground: Ground) -> str:
    files = {"A": ("../../../../tmp/newtond-owned.npy", npy(np.eye(2))), "b": ("b.npy", npy([1.0, 2.0]))}
    answer = ground.acme.post(
        "/solve", files={**files, "spec": (None, json.dumps({"problem": example()["problem"]}))}
    )
    assert not Path("/tmp/newtond-owned.npy").exists()
    return f"{said(answer)}, the name is not used"


@attack("queue", "a call of `os.system` planted in Redis, as a job")
def planted(ground: Ground) -> str:
    import zlib

    queue = JobQueue(ground.valkey.url)
    queue.connection.hset("rq:job:job_evil", "data", zlib.compress(b'["os.system", null, ["true"], {}]'))
    queue.connection.rpush(queue.queue("planted").key, "job_evil")
    try:
        queue.take(["planted"], None)
    except PermissionError:
        return "dropped; only one function is ever run"
    return "run"


@attack("queue", "another tenant's job id planted in a tenant's queue")
def planted_id(ground: Ground) -> str:
    job_id = submit(ground.acme)["id"]
    JobQueue(ground.valkey.url).submit(job_id, "solve", "zeta")
    owner = DataDirectory(ground.service.data_dir).of_job(job_id).name
    return "run for its owner: tenants are told from files" if owner == "acme" else "run for another"


@attack("timing", "404 of a foreign job against 404 of none, 200 times each")
def timing(ground: Ground) -> str:
    foreign, none = submit(ground.acme)["id"], "job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG"
    times: dict[str, list[float]] = {foreign: [], none: []}
    for _ in range(200):
        for job_id, taken in times.items():
            began = time.perf_counter()
            assert ground.zeta.get(f"/jobs/{job_id}").status_code == 404
            taken.append(time.perf_counter() - began)
    ratio = np.median(times[foreign]) / np.median(times[none])
    return "the same look at one's own folder" if 0.7 < ratio < 1.4 else f"medians differ by {ratio:.2f}"


@contextmanager
def ground(root: Path) -> Iterator[Ground]:
    """A service to attack, on loopback, without workers."""
    with running_valkey() as valkey, running_service(root / "ground", valkey.url, **BOUNDS) as service:
        keys = [Credentials(service.data_dir).create(tenant)[0] for tenant in ("acme", "zeta")]
        clients = [
            httpx.Client(base_url=service.url, timeout=120, headers={"Authorization": f"Bearer {key}"})
            for key in keys
        ]
        with clients[0] as acme, clients[1] as zeta, service.client() as stranger:
            yield Ground(service, valkey, acme, zeta, stranger)


HEAD = """# Attacks and answers

Each row is an attack that `tests/service/attacks.py` runs against a real service with API keys, and what it answered.
`make security` runs them and writes this page; a test runs them and compares.

What is behind the answers: keys are 256 random bits, kept as digests and compared in constant time; a tenant has
folders of its own, and nothing is looked up outside of them; uploads are read in a child process with hard limits;
no file name, path or URL of a caller is used; heads, bodies, answers and event streams have clocks and bounds. Without
keys the service listens on loopback alone and answers no page of another site. [operations.md](operations.md) has the
settings.

| | attack | answer |
|---|---|---|
"""


def page(ground: Ground) -> str:
    """Run every attack and return the page."""
    rows = (f"| {group} | {what} | {run(ground)} |" for what, (group, run) in ATTACKS.items())
    return HEAD + "\n".join(rows) + "\n"
