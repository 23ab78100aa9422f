"""Large files on their way to clients: they take no memory, and no thread while nobody reads."""

from __future__ import annotations

import os
import socket
from hashlib import sha256
from pathlib import Path

import pytest
import requests

from modelsync import settings, store
from modelsync.store.records import NewVersion
from tests.fixtures import fits
from tests.fixtures.service import Service
from tests.server.talking import connect, everything
from tests.waiting import patient, until

pytestmark = pytest.mark.training

SIZE = 96 * 1024**2
MEGABYTE = 1024**2


@pytest.fixture(scope="module")
def large(service: Service, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The path of a large file's download, and its SHA-256."""
    opened = store.open(settings.load({"MODELSYNC_HOME": str(service.home)}))
    file: Path = tmp_path_factory.mktemp("large") / "model"
    with file.open("wb") as content:
        for _ in range(SIZE // MEGABYTE):
            content.write(os.urandom(MEGABYTE))
    digest = opened.blobs.put(file)
    made = NewVersion("own", digest, SIZE)
    job = fits.run(opened.catalog, fits.ask(opened.catalog, "Mean", key="large"), "elsewhere:1")
    version = opened.catalog.finish(job.id, "elsewhere:1", made, promote=False)
    path = f"/models/Mean/versions/{version.number}/download"
    requests.head(service.url + path, timeout=patient(120)).raise_for_status()  # it is here by now
    return path, digest


def memory(service: Service) -> int:
    return max(worker.memory_info().rss for worker in service.workers())


def test_a_large_download_takes_no_memory(service: Service, large: tuple[str, str]) -> None:
    """The file arrives whole, in parts."""
    path, digest = large
    before, most, found = memory(service), 0, sha256()
    with requests.get(service.url + path, stream=True, timeout=patient(120)) as answer:
        assert int(answer.headers["Content-Length"]) == SIZE
        for part in answer.iter_content(MEGABYTE):
            found.update(part)
            most = max(most, memory(service))
    assert found.hexdigest() == digest
    assert most - before < 16 * MEGABYTE


def test_clients_that_read_slowly_hold_nobody_up(service: Service, large: tuple[str, str]) -> None:
    """Twenty of them, more than there are threads for pages; pages answer, memory stays; those who
    leave are noticed.
    """
    path, _ = large
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-ID: slow\r\n\r\n".encode()
    before = memory(service)
    clients = [connect(service.port) for _ in range(20)]
    for client in clients:
        client.sendall(request)
        client.recv(1000)
    for _ in range(3):
        assert service.get("/models/usage").status_code == 200
    assert memory(service) - before < 64 * MEGABYTE
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST
        client.close()
    until(lambda: len(service.lines(request_id="slow")) == 20, 20)
    assert all(line["bytes"] < SIZE for line in service.lines(request_id="slow"))
    until(lambda: not open_files(service), 20)


def open_files(service: Service) -> list[str]:
    """The artefacts that workers have open."""
    found = [file.path for worker in service.workers() for file in worker.open_files()]
    return [path for path in found if "artifacts" in path]


def test_an_old_client_learns_the_end_from_the_connection(
    service: Service, large: tuple[str, str]
) -> None:
    """HTTP/1.0 knows no chunks; a file has its length anyway, events end with the connection."""
    path, digest = large
    with connect(service.port) as client:
        client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        head, _, body = everything(client).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert sha256(body).hexdigest() == digest
    listed = requests.get(f"{service.base}/Mean/jobs", timeout=60).json()["jobs"]
    job = next(one["name"] for one in listed if one["done"])
    with connect(service.port) as client:
        client.sendall(f"GET {job} HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n".encode())
        head, _, body = everything(client).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert b"event: done" in body


def test_requests_behind_a_stream_are_answered_after_it(
    service: Service, large: tuple[str, str]
) -> None:
    """On one connection: a download, then a probe and a page."""
    path, digest = large
    with connect(service.port, 120) as client:
        client.sendall(
            f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\nGET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /models/usage HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
        )
        raw = everything(client)
    _, _, rest = raw.partition(b"\r\n\r\n")
    assert sha256(rest[:SIZE]).hexdigest() == digest
    assert rest[SIZE:].count(b"HTTP/1.1 200 OK") == 2
