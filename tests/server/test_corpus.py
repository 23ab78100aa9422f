"""The corpus: requests that must be answered and requests that must not reach a model."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from tests.fixtures.service import Service
from tests.server.talking import BODY, connect, everything, post, replies

HERE = Path(__file__).parent
TEXT = BODY.decode()
FILLINGS = {
    "{body}": TEXT,
    "{length}": str(len(TEXT)),
    "{long}": "x" * 9000,
    "{many}": "".join(f"X-{number}: y\r\n" for number in range(200)),
    "{chunked}": f"5\r\n{TEXT[:5]}\r\n{len(TEXT) - 5:X}\r\n{TEXT[5:]}\r\n0\r\n\r\n",
    "{five}": TEXT[:5],
    "{rest}": f"{len(TEXT) - 5:x}\r\n{TEXT[5:]}",
    "{extended}": f'5;a=b\r\n{TEXT[:5]}\r\n{len(TEXT) - 5:x};c="d e"\r\n{TEXT[5:]}\r\n0\r\n'
    "X-T: 1\r\n\r\n",
}


def cases(kind: str) -> list[Any]:
    loaded = yaml.safe_load((HERE / f"{kind}.yaml").read_text())
    return [pytest.param(case, id=case["name"]) for case in loaded]


def filled(text: str) -> bytes:
    for mark, filling in FILLINGS.items():
        text = text.replace(mark, filling)
    return text.encode("latin-1")


def calls(service: Service, model: str) -> float:
    """How often the model was asked, by the service's own count."""
    text = service.get("/metrics").text
    mark = 'modelsync_requests_total{code="'
    return sum(
        float(line.split()[-1])
        for line in text.splitlines()
        if mark in line and f'model="{model}"' in line
    )


@pytest.mark.parametrize("case", cases("invalid"))
def test_an_invalid_request_is_refused_and_reaches_no_model(
    service: Service, case: dict[str, Any]
) -> None:
    """One problem document, then the end of the connection; no model was called."""
    before = calls(service, "Echo")
    with connect(service.port) as sock:
        sock.sendall(filled(case["request"]))
        found = replies(everything(sock))
    assert [reply.status for reply in found] == [case["status"]]
    assert found[0].headers["content-type"] == "application/problem+json"
    assert found[0].headers["connection"] == "close"
    assert orjson.loads(found[0].body)["status"] == found[0].status
    assert calls(service, "Echo") == before


@pytest.mark.parametrize("case", cases("valid"))
def test_a_valid_request_is_answered(service: Service, case: dict[str, Any]) -> None:
    """Each request gets its answer, in order, then the connection ends."""
    with connect(service.port) as sock:
        sock.sendall(filled(case["request"]))
        found = replies(everything(sock), bodiless=case.get("bodiless", False))
    assert [reply.status for reply in found] == case["answers"]


@pytest.mark.parametrize("case", cases("valid"))
def test_it_makes_no_difference_how_the_bytes_are_cut(
    service: Service, case: dict[str, Any]
) -> None:
    """One byte at a time gives what one write gives."""
    with connect(service.port) as sock:
        for byte in filled(case["request"]):
            sock.sendall(bytes([byte]))
        found = replies(everything(sock), bodiless=case.get("bodiless", False))
    assert [reply.status for reply in found] == case["answers"]


def test_no_mutation_of_a_request_harms_the_next_client(service: Service) -> None:
    """300 requests with random damage are answered as the rules say, and the service goes on."""
    rng = random.Random(20261120)
    found: Counter[int] = Counter()
    whole = post("/models/Echo", BODY, "Connection: close")
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            position = rng.randrange(len(damaged))
            match rng.randrange(3):
                case 0:
                    damaged[position] = rng.randrange(256)
                case 1:
                    del damaged[position : position + rng.randint(1, 20)]
                case 2:
                    damaged[position:position] = rng.randbytes(rng.randint(1, 5))
        with connect(service.port) as sock:
            sock.sendall(bytes(damaged))
            sock.shutdown(1)
            answers = replies(everything(sock))
        assert all(reply.headers.get("connection") != "close" for reply in answers[:-1])
        found.update(reply.status for reply in answers)
    assert found.keys() == {200, 400, 404, 415, 501, 505}, (
        found
    )  # whatever a rule says, and no other
    assert service.post("Echo", {"a": 1}).json() == {"a": 1}
