"""Clients that are slow, vanish or ask too much: the others are served."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import orjson
import pytest

from tests.fixtures.service import Service
from tests.server.conftest import DEADLINE
from tests.server.talking import BODY, connect, everything, post, read_reply, replies
from tests.waiting import patient, until


def test_slow_senders_hold_nobody_up(service: Service) -> None:
    """200 clients that have sent half a head or half a body: another one is answered."""
    request = post("/models/Echo")
    slow = [connect(service.port) for _ in range(200)]
    for number, sock in enumerate(slow):
        sock.sendall(request[: 20 if number % 2 else -5])
    assert service.post("Echo", {"a": 2}).json() == {"a": 2}
    for number, sock in enumerate(slow):  # and they are answered, once they have sent the rest
        sock.sendall(request[20 if number % 2 else -5 :])
        assert read_reply(sock.makefile("rb")).status == 200
        sock.close()


def test_a_slow_reader_holds_nobody_up(service: Service) -> None:
    """A client that asks for large answers and reads none stops being read itself; another one is
    answered.
    """
    request = post("/models/Large", orjson.dumps({"variables": {"n": 500_000}}).ljust(50_000))
    with connect(service.port) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        sock.settimeout(patient(1))
        sent = 0
        try:
            while sent < 1000:
                sock.sendall(request)
                sent += 1
        except TimeoutError:
            pass
        assert 0 < sent < 1000
        sock.settimeout(patient(30))
        assert service.post("Echo", {"a": 3}).json() == {"a": 3}
        stream = sock.makefile("rb")
        for _ in range(sent):
            assert len(read_reply(stream).body) > 500_000


def test_a_client_that_vanishes_costs_nothing(service: Service) -> None:
    """The service goes on when clients disconnect at any point of a request or an answer."""
    request = post("/models/Slow", b'{"variables": {"seconds": 0.1}}')
    for end in range(0, len(request) + 1, 7):
        with connect(service.port) as sock:
            sock.sendall(request[:end])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST
    assert service.post("Echo", {"a": 4}).json() == {"a": 4}
    until(
        lambda: 'modelsync_requests_in_flight{model="Slow"} 0.0' in service.get("/metrics").text, 10
    )


def test_a_request_whose_client_vanished_is_logged(service: Service) -> None:
    """As it is counted: the model was called for it."""
    with connect(service.port) as sock:
        sock.sendall(
            post("/models/Slow", b'{"variables": {"seconds": 0.5}}', "X-Request-ID: vanished")
        )
        assert service.get("/livez").status_code == 200  # by then it has been read
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST
    until(lambda: len(service.lines(request_id="vanished")) == 1, 10)


def test_a_client_with_a_long_pipeline_holds_nobody_up(service: Service) -> None:
    """Predictions that take seconds, called in the event loop one after another: a probe is
    answered in between, in a fraction of their time.
    """
    with connect(service.port, 60) as sock:
        stream = sock.makefile("rb")
        sock.sendall(post("/models/Busy", b'{"variables": {}}') * 1900)
        read_reply(stream)
        started = monotonic()
        assert service.get("/livez").status_code == 200
        probed = monotonic()
        for _ in range(1899):
            read_reply(stream)
        assert probed - started < (monotonic() - started) / 4


def test_a_long_pipeline_of_upgrades_is_answered(service: Service) -> None:
    """Each as if it had not asked for another protocol."""
    request = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    with connect(service.port, 20) as sock:
        sock.sendall(request * 2000)
        sock.shutdown(1)
        assert [reply.status for reply in replies(everything(sock))] == [200] * 2000


@pytest.mark.parametrize("behind", [b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", b"\0garbage"])
@pytest.mark.parametrize("path", ["/livez", "/models/Echo", "/models/Slow"])
def test_what_comes_behind_a_last_request_is_for_nobody(
    service: Service, path: str, behind: bytes
) -> None:
    """It is neither answered nor logged, and does no harm to the answer before."""
    mark = f"{path[1:].replace('/', '.')}-{len(behind)}"
    for turn in ("before", "behind", "after"):
        request = post(path, BODY, "Connection: close", f"X-Request-ID: {mark}-{turn}").replace(
            b"POST /l", b"GET /l"
        )
        with connect(service.port) as sock:
            sock.sendall(request + (behind if turn == "behind" else b""))
            assert [reply.status for reply in replies(everything(sock))] == [200]
    until(lambda: service.lines(request_id=f"{mark}-after"))
    lines = [str(line.get("request_id")) for line in service.lines()]
    start = lines.index(f"{mark}-before")
    assert lines[start : start + 3] == [f"{mark}-before", f"{mark}-behind", f"{mark}-after"]


def test_an_expected_body_is_asked_for(service: Service) -> None:
    """`Expect: 100-continue`: first the 100, then the body, then the answer; too large a body is
    refused at once.
    """
    with connect(service.port) as sock:
        head, _, body = post(
            "/models/Echo", BODY, "Expect: 100-continue", "Connection: close"
        ).partition(b"\r\n\r\n")
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert [reply.status for reply in replies(everything(sock))] == [200]
    with connect(service.port) as sock:
        sock.sendall(post("/models/Echo", b"", "Expect: 100-continue", "Content-Length: 20000000"))
        assert [reply.status for reply in replies(everything(sock))] == [413]


def test_a_chunked_body_is_cut_off_at_the_limit(service: Service) -> None:
    """A body of 64 MiB without an announced length is refused with 413 once it is too large, and
    never held whole.
    """
    [worker] = service.workers()
    before = worker.memory_info().rss
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with connect(service.port) as sock:
        sock.sendall(post("/models/Echo", b"", "Transfer-Encoding: chunked"))
        for _ in range(1024):
            sock.sendall(chunk)
        assert [reply.status for reply in replies(everything(sock))] == [413]
    assert worker.memory_info().rss - before < 32 * 1024**2


def test_a_prediction_that_hangs_gives_its_slot_back(service: Service) -> None:
    """More hanging calls than threads: each is answered 504 at its deadline, the queue beyond 503,
    others go on.
    """
    sleeps = DEADLINE * 5
    with ThreadPoolExecutor(30) as pool:
        started = monotonic()
        hanging = [pool.submit(service.post, "Slow", {"seconds": sleeps}) for _ in range(7)]
        until(
            lambda: 'modelsync_requests_in_flight{model="Slow"} 7.0' in service.get("/metrics").text
        )
        assert service.post("Echo", {"a": 5}).json() == {"a": 5}
        found = [future.result() for future in hanging]
    assert {answer.status_code for answer in found} == {504}
    assert monotonic() - started < sleeps  # at the deadline, not when the model had slept enough
    assert found[0].json()["model"] == "Slow"
    assert service.post("Echo", {"a": 6}).json() == {"a": 6}


def test_overload_is_refused_at_once_while_probes_answer(service: Service) -> None:
    """Three times what threads and queue hold: some 200, the rest 503 with Retry-After; probes
    answer meanwhile.
    """
    with ThreadPoolExecutor(72) as pool:
        waiting = [pool.submit(service.post, "Slow", {"seconds": 0.5}) for _ in range(72)]
        probes = [service.get("/readyz").status_code for _ in range(10)]
        found = [future.result() for future in waiting]
    codes = [answer.status_code for answer in found]
    assert set(codes) == {200, 503}
    assert codes.count(200) >= 8
    assert all(answer.headers["Retry-After"] for answer in found if answer.status_code == 503)
    assert set(probes) == {200}


def test_thousand_idle_connections_are_cheap(service: Service) -> None:
    """Idle keep-alive connections do not keep another client from its answer."""
    idle = [connect(service.port) for _ in range(500)]
    assert service.post("Echo", {"a": 7}).json() == {"a": 7}
    for sock in idle:
        sock.close()


def test_every_answer_tells_its_request_and_release(service: Service) -> None:
    """X-Request-ID (the client's own where it is decent), the release and the model's version."""
    answer = service.post("Echo", {"a": 8}, headers={"X-Request-ID": "mine-1"})
    assert answer.headers["X-Request-ID"] == "mine-1"
    assert answer.headers["X-Modelsync-Release"] == service.release()["commit"]
    assert (
        answer.headers["X-Modelsync-Model-Version"]
        == service.release()["models"]["Echo"]["version"]
    )
    odd = service.post("Echo", {}, headers={"X-Request-ID": "a b;c"})
    assert odd.headers["X-Request-ID"] != "a b;c"


def test_many_clients_at_once_get_their_own_answers(service: Service) -> None:
    """No answer goes to another request."""
    wrong: list[object] = []

    def client(number: int) -> None:
        for turn in range(20):
            asked = {"client": number, "turn": turn}
            if service.post("Echo", asked).json() != asked:
                wrong.append(asked)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_header_without_end_is_cut_off(service: Service) -> None:
    """A field, a chunk extension and a trailer of 100 MiB are refused long before, and never held
    whole.
    """
    [worker] = service.workers()
    before = worker.memory_info().rss
    beginnings = (
        b"POST /models/Echo HTTP/1.1\r\nHost: a\r\nX-Endless: ",
        post("/models/Echo", b"", "Transfer-Encoding: chunked") + b"1;x=",
        post("/models/Echo", b"", "Transfer-Encoding: chunked") + b"1\r\na\r\n0\r\nX-Endless: ",
    )
    for beginning in beginnings:
        with connect(service.port) as sock:
            sock.sendall(beginning)
            for _ in range(1600):
                sock.sendall(b"x" * 0x10000)
            assert [reply.status for reply in replies(everything(sock))] == [431]
    assert worker.memory_info().rss - before < 16 * 1024**2


def test_a_head_in_two_packets_may_have_a_large_body(service: Service) -> None:
    """As a network cuts it: what comes with the end of a head is not counted as head."""
    request = post("/models/Echo", b'{"variables": {"a": "%s"}}' % (b"x" * 200_000))
    with connect(service.port) as sock:
        stream = sock.makefile("rb")
        for _ in range(3):
            sock.sendall(request[:20])
            assert service.get("/livez").status_code == 200  # by then the first part has been read
            sock.sendall(request[20:])
            assert read_reply(stream).status == 200


def test_a_head_that_never_ends_is_refused(service: Service) -> None:
    """However it is cut: a field of a megabyte is not kept."""
    with connect(service.port) as sock:
        sock.sendall(b"POST /models/Echo HTTP/1.1\r\nHost: a\r\nX-Long: ")
        for _ in range(32):
            assert (
                service.get("/livez").status_code == 200
            )  # by then what was sent before has been read
            sock.sendall(b"x" * 32768)
        assert [reply.status for reply in replies(everything(sock))] == [431]
