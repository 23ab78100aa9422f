"""Copies of predictions: how answers compare, what is shown of them, what is kept."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from modelsync import settings
from modelsync.errors import SettingsError
from modelsync.monitoring.shadow import record, requests
from modelsync.monitoring.shadow.backlog import MAX_REQUESTS, Backlog
from modelsync.monitoring.shadow.candidate import CandidateAnswer
from modelsync.monitoring.shadow.comparison import (
    LARGEST,
    compare,
    shown_answer,
    shown_request,
)
from modelsync.monitoring.shadow.record import ShadowDifference, ShadowRecord
from modelsync.monitoring.shadow.requests import MAX_SIZE, ShadowRequest

MASK = frozenset({"secret"})


def a_request(answer: Any = None, status: int = 200, body: bytes = b"{}") -> ShadowRequest:
    content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return ShadowRequest(
        "Churn", "/models/Churn", "application/json", "", "id", status, body, content
    )


def an_answer(answer: Any, status: int = 200, *, whole: bool = True) -> CandidateAnswer:
    content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return CandidateAnswer(status, content, whole, "", "", 0.1)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"a": 1, "b": [1, 2.5]}, {"b": [1, 2.5], "a": 1}),
        ({"y": 0.1}, {"y": 0.1 + 1e-9}),
        ({"y": 1}, {"y": 1.0}),
        ({"y": [1e300, None, "x", True]}, {"y": [1e300, None, "x", True]}),
        ([{"y": 1}], [{"y": 1}]),
    ],
)
def test_answers_that_are_equal(ours: Any, theirs: Any) -> None:
    """The order of keys does not count, nor do differences by rounding."""
    assert compare(a_request(ours), an_answer(theirs), MASK) == ("equal", "")


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ({"y": 1}, {"y": 2}, "y: expected 1, got 2"),
        ({"y": 1}, {"y": True}, "y: expected 1, got true"),
        ({"y": [1, 2]}, {"y": [1]}, "y: expected [1,2], got [1]"),
        ({"y": [1, 2]}, {"y": [1, 3]}, "y[1]: expected 2, got 3"),
        ({"y": 1}, {"z": 1}, 'has no "y"'),
        ({"y": 1}, {"y": 1, "z": 1}, 'has "z"'),
        ({"y": 1, "secret": 1}, {"y": 1, "secret": 2}, "not shown"),
        ({"y": 1}, b"no JSON", "not both JSON"),
    ],
)
def test_answers_that_are_different(ours: Any, theirs: Any, said: str) -> None:
    """It is said where, without values that are masked."""
    result, found = compare(a_request(ours), an_answer(theirs), MASK)
    assert (result, said in found) == ("different", True), found


@pytest.mark.parametrize(
    ("status", "theirs", "result"),
    [
        (200, 500, "different"),
        (500, 200, "different"),
        (200, 404, "different"),
        (422, 422, "equal"),
        (500, 500, "equal"),
        (200, 503, "failed"),
        (200, 504, "failed"),
        (422, 401, "failed"),
    ],
)
def test_statuses(status: int, theirs: int, result: str) -> None:
    """Failures of models are compared by their status; those of a service cannot be compared."""
    found, said = compare(a_request({}, status), an_answer({"detail": "x"}, theirs), MASK)
    assert found == result
    assert str(theirs) in said or result == "equal"


def test_an_answer_that_is_cut_off_or_nested_deep_is_different() -> None:
    """Neither is read to its end."""
    found = compare(a_request({}), an_answer(b"{" * 9, whole=False), MASK)
    assert found == ("different", "the candidate's answer has over 9 bytes")
    deep = b"[" * 1000 + b"]" * 1000
    assert compare(a_request(deep), an_answer(deep + b" "), MASK)[0] == "different"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"variables": {"a": 1, "Secret": 2}}, {"variables": {"a": 1}}),
        ({"variables": {"a": [1, 2]}}, {"variables": {"a": [1, 2]}}),
        ({"variables": {"a": {"secret": 1, "b": 2}}}, {"variables": {"a": {"b": 2}}}),
        ({"variables": [{"a": 1, "secret": 2}]}, {"variables": [{"a": 1}]}),
        ({"x": {"a": [1], "secret": [2]}}, {"x": {"a": [1]}}),
        ({"x": [[1, 2]]}, {"x": None}),
        ({"x": [1, 2]}, {"x": None}),
        ({"data": [{"a": 1, "secret": 2}]}, {"data": [{"a": 1}]}),
        (
            {"x": {"columns": ["a", "secret"], "index": [0], "data": [[1, 2]]}},
            {"x": {"columns": ["a", "secret"], "index": [0], "data": None}},
        ),
        ({"x": '{"a": [1], "secret": [2]}', "orient": "list"}, {"x": None, "orient": "list"}),
        ([[1, 2]], None),
        ("text", None),
    ],
)
def test_what_is_masked_is_not_shown(body: Any, shown: Any) -> None:
    """In every form of a request; values without names are not shown where something is masked."""
    assert shown_request(json.dumps(body).encode(), MASK) == shown
    assert shown_request(json.dumps(body).encode(), frozenset()) == body


def test_what_is_shown_is_bounded() -> None:
    """Large bodies are not shown, long texts are cut off; what is no JSON is not shown either."""
    assert shown_request(json.dumps({"a": "x" * 5000}).encode(), MASK) == {"a": "x" * 1000}
    assert shown_request(json.dumps({"a": "x" * LARGEST}).encode(), MASK) is None
    assert shown_request(b"{", MASK) is None


def test_problems_quote_no_values_where_something_is_masked() -> None:
    """Their texts may hold what the client has sent."""
    problem = {"title": "Unprocessable", "status": 422, "detail": "secret: 's3cr3t'"}
    assert shown_answer(422, json.dumps(problem).encode(), frozenset()) == problem
    assert "s3cr3t" not in str(shown_answer(422, json.dumps(problem).encode(), MASK))
    assert shown_answer(500, b"[]", MASK) == {}


def packed(body: bytes = b"{}", answer: bytes = b"[]", *, authorized: bool = True) -> bytes:
    fields = [(b"content-type", b"application/json"), (b"authorization", b"Bearer t")]
    return requests.pack(
        "Chürn", b"/models/Ch%C3%BCrn", fields, b"id", body, 200, answer, authorized=authorized
    )


def test_messages() -> None:
    """What is read is what was packed; a sender may end in the middle of one."""
    stream = io.BytesIO(packed(b'{"a":\n1}') + requests.pack_lost({"Churn": 3}))
    first = requests.read(stream)
    assert isinstance(first, ShadowRequest)
    assert (first.model, first.target, first.body) == ("Chürn", "/models/Ch%C3%BCrn", b'{"a":\n1}')
    assert (first.authorization, first.answer, first.status) == ("Bearer t", b"[]", 200)
    assert "Bearer" not in repr(first)
    assert requests.read(stream) == {"Churn": 3}
    assert requests.read(stream) is None
    assert requests.read(io.BytesIO(packed()[:-1])) is None
    without = requests.read(io.BytesIO(packed(authorized=False)))
    assert isinstance(without, ShadowRequest)
    assert without.authorization == ""
    with pytest.raises(ValueError, match="too large"):
        requests.read(io.BytesIO(packed(b"x" * MAX_SIZE)))


def test_the_backlog_is_bounded() -> None:
    """In number and in bytes; what was taken makes room."""
    backlog = Backlog()
    assert all(backlog.put(a_request()) for _ in range(MAX_REQUESTS))
    assert not backlog.put(a_request())
    backlog.take()
    assert backlog.put(a_request())
    backlog = Backlog()
    large = a_request(body=b"x" * 7 * 1024**2)
    assert sum(backlog.put(large) for _ in range(10)) == 4


def a_difference(number: int) -> ShadowDifference:
    return ShadowDifference(record.now(), f"{number}", "y", 200, 200, "", "", {"a": [1]})


def test_the_record_goes_on_after_a_restart(tmp_path: Path) -> None:
    """Of the same candidate; another one begins anew. A damaged file has nothing."""
    (tmp_path / "shadow").mkdir()
    found = ShadowRecord(tmp_path, "http://a")
    found.compared("Churn", "equal", 0.002, None)
    found.compared("Churn", "different", 0.3, a_difference(1))
    found.count("Churn", "failed", why="ReadTimeoutError")
    found.count("Churn", "dropped", 7)
    found.write()
    again = ShadowRecord(tmp_path, "http://a")
    again.compared("Churn", "equal", 0.002, None)
    again.write()
    figures = record.read(tmp_path)
    churn = figures.models["Churn"]
    assert churn.results == {"equal": 2, "different": 1, "failed": 1, "dropped": 7}
    assert (churn.failure, sum(churn.buckets)) == ("ReadTimeoutError", 3)
    assert [one.request for one in churn.differences] == [{"a": [1]}]
    other = ShadowRecord(tmp_path, "http://b")
    other.count("Churn", "failed")
    other.write()
    assert record.read(tmp_path).models["Churn"].results["equal"] == 0
    (tmp_path / record.FILE).write_text('{"models": 1}')
    assert record.read(tmp_path).models == {}


def test_differences_are_bounded(tmp_path: Path) -> None:
    """The newest ones of each model stay, and not too many of all."""
    (tmp_path / "shadow").mkdir()
    found = ShadowRecord(tmp_path, "http://a")
    for model in range(100):
        for number in range(12):
            found.compared(f"M{model}", "different", 0.1, a_difference(number))
    found.write()
    kept = [one.differences for one in record.read(tmp_path).models.values()]
    assert sum(map(len, kept)) == record.OF_ALL
    assert all(one and one[-1].request_id == "11" for one in kept)


def test_settings() -> None:
    """A URL alone copies all; a share of 0 none; a URL that cannot be right is refused."""
    load = settings.load
    assert not load({}).shadow.on
    assert load({"MODELSYNC_SHADOW_URL": "http://canary/"}).shadow.url == "http://canary"
    assert load({"MODELSYNC_SHADOW_URL": "http://canary/"}).shadow.rate == 1
    assert not load({"MODELSYNC_SHADOW_URL": "http://a", "MODELSYNC_SHADOW_RATE": "0"}).shadow.on
    for wrong in ("canary", "ftp://canary", "http://user:word@canary", "http://canary?a=1"):
        with pytest.raises(SettingsError, match="MODELSYNC_SHADOW_URL must be a URL"):
            load({"MODELSYNC_SHADOW_URL": wrong})
