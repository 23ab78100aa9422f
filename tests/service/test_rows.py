"""Requests of several rows, and numbers with all their digits, wherever a model runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.fixtures.service import Service, serving, write_example, write_model
from tests.service.test_rejected_requests import PLACES, STATUSES, metric
from tests.waiting import patient

FRAME = """
class transform_predict:
    def transform_predict(self, df):
        assert type(df).__name__ == "DataFrame"
        {answer}
"""

CODE = {
    name: code for name, code in PLACES.items() if name != "Trained"
} | {
    "Frame": FRAME.format(answer='return {"y": [float(x) for x in df["x"]]}'),
    "Records": FRAME.format(answer='return df.assign(y=df["x"] * 2)'),
    "Column": FRAME.format(answer='return df["x"].to_numpy() * 2'),
    "Text": FRAME.format(answer='return "text"'),
    "Anything": """
class Anything:
    def transform_predict(self, variables):
        if variables.get("x") == 13:
            raise ValueError("no luck")
        return None if "nothing" in variables else {"got": variables}
""",
    "Whole": """
class Whole:
    def transform_predict(self, account: int, more: list[int] | None = None):
        return {"account": account, "more": more}
""",
    "Exact": """
from decimal import Decimal

class Exact:
    def transform_predict(self, price: Decimal, factor: float = 1.0):
        return {"price": price, "factor": type(factor).__name__}
""",
    "Slow": """
import time

class Slow:
    def transform_predict(self, x: float):
        time.sleep(0.002)
        return {"y": x}
""",
}  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    root = tmp_path_factory.mktemp("rows")
    models = root / "models_serve"
    for name, code in CODE.items():
        folder = write_model(models, name, code)
        if name in PLACES or name == "Slow":
            write_example(folder, {"x": 1})
    with serving(root, models) as service:
        yield service


@pytest.mark.parametrize("name", [name for name in PLACES if name != "Trained"])
def test_a_list_is_answered_by_a_list(service: Service, name: str) -> None:
    """One answer for each row, in their order; an error names the row, and is counted once."""
    answer = service.post(name, [{"x": 1}, {"x": 2}, {"x": 3}])
    assert (answer.status_code, answer.json()) == (200, [{"y": 1}, {"y": 2}, {"y": 3}])
    assert answer.headers["X-Modelsync-Model-Version"]
    assert service.post(name, []).json() == []
    failures = metric(service, "modelsync_request_failures_total", name)
    rejected = metric(service, "modelsync_requests_total", name, str(STATUSES[name]))
    answer = service.post(name, [{"x": 1}, {"x": 2}, {"x": -3}])
    assert (answer.status_code, answer.json()["detail"][:14]) == (STATUSES[name], "variables[2]: ")
    counted = metric(service, "modelsync_requests_total", name, str(STATUSES[name]))
    assert counted == rejected + 1
    assert metric(service, "modelsync_request_failures_total", name) == failures


def test_all_rows_that_do_not_fit_are_named(service: Service) -> None:
    answer = service.post("Worker", [{"x": 1}, {"x": "a"}, {}, {"x": 2}])
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["1.x", "2.x"]
    answer = service.post("Worker", [{}] * 1000)
    assert len(answer.json()["errors"]) == 100


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        ("Frame", [{"x": 1}, {"x": 2}], {"y": [1.0, 2.0]}),
        ("Records", [{"x": 1}, {"x": 2}], [{"x": 1, "y": 2}, {"x": 2, "y": 4}]),
        ("Column", [{"x": 1}, {"x": 2}], [2, 4]),
        ("Column", [], []),
        ("Frame", [{"x": 1}], {"y": [1.0]}),
        ("Anything", [{"a": {"b": 1}}, {}], [{"got": {"a": {"b": 1}}}, {"got": {}}]),
    ],
)
def test_a_frame_holds_all_rows(service: Service, name: str, rows: Any, expected: Any) -> None:
    """A model that takes a DataFrame is called once, and answers as it likes."""
    assert service.post(name, rows).json() == expected


@pytest.mark.parametrize(
    ("name", "variables", "status", "detail"),
    [
        ("Text", [{"x": 1}], 500, "TypeError: transform_predict returned a str, not a dict"),
        ("Column", {"x": 1}, 500, "TypeError: transform_predict returned a ndarray, not a dict"),
        ("Anything", [{"x": 1}, {"x": 13}], 500, "ValueError: variables[1]: no luck"),
        ("Anything", [{"nothing": 1}], 500, "TypeError: variables[0]: transform_predict returned "),
        ("Anything", [{"x": 1}, 2], 400, "variables[1] is a number, not an object"),
        ("Anything", [[{"x": 1}]], 400, "variables[0] is a list, not an object"),
        ("Anything", [{}] * 10_001, 400, "variables holds 10001 objects; at most 10000"),
    ],
)
def test_requests_that_are_refused(
    service: Service, name: str, variables: Any, status: int, detail: str
) -> None:
    answer = service.post(name, variables)
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(detail)


def test_a_key_that_comes_twice_in_a_row_is_refused(service: Service) -> None:
    answer = raw(service, "Worker", '{"variables": [{"x": 1}, {"x": 1, "x": 2}]}')
    assert (answer.status_code, answer.json()["detail"][:17]) == (400, 'duplicate key "x"')


def test_all_models_take_rows(service: Service) -> None:
    """Each answers by its list; flat, too, lists keep their names."""
    for query in ("", "&flat=true"):
        found = service.post(f"all?models=Worker,Column{query}", [{"x": 1}, {"x": 2}]).json()
        assert found == {"Worker": [{"y": 1}, {"y": 2}], "Column": [2, 4]}


def test_many_rows_of_a_slow_model_hold_up_nobody(service: Service) -> None:
    """They are called in a thread, where the watchdog of the loop does not interrupt them."""
    answer = service.post("Slow", [{"x": number} for number in range(700)])
    assert answer.status_code == 200
    assert answer.json()[-1] == {"y": 699}


@pytest.mark.parametrize(
    ("name", "variables", "expected"),
    [
        ("Whole", '{"account": 123456789012345678901234}', '{"account":123456789012345678901234,'),
        ("Whole", '{"account": 1, "more": [18446744073709551616]}', "[18446744073709551616]"),
        ("Whole", f'{{"account": {10**400}}}', str(10**400)),
        ("Whole", '[{"account": 99999999999999999999999}]', '[{"account":99999999999999999999999,'),
        ("Anything", '{"x": 123456789012345678901234}', '{"x":123456789012345678901234}'),
        ("Anything", '{"x": "123456789012345678901234"}', '{"x":"123456789012345678901234"}'),
        ("Anything", '{"x": 0.12345678901234567890}', '{"x":0.12345678901234568}'),
        ("Exact", '{"price": 0.12345678901234567890123}', '{"price":0.12345678901234567890123,'),
        ("Exact", '{"price": 1, "factor": 0.12345678901234567}', '"factor":"float"'),
        ("Worker", '{"x": 123456789012345678901234}', '{"y":1.23456789012345'),
        ("Runner", '{"x": 123456789012345678901234}', '{"y":1.23456789012345'),
    ],
)  # fmt: skip
def test_numbers_keep_their_digits(
    service: Service, name: str, variables: str, expected: str
) -> None:
    answer = raw(service, name, f'{{"variables": {variables}}}')
    assert (answer.status_code, expected in answer.text) == (200, True), answer.text


def test_a_number_that_would_take_for_ever_is_refused(service: Service) -> None:
    answer = raw(service, "Whole", '{"variables": {"account": 1%s}}' % ("0" * 5000))
    assert (answer.status_code, answer.json()["position"] > 0) == (400, True)


def test_a_query_keeps_digits(service: Service) -> None:
    answer = service.get("/models/Whole/predict?account=123456789012345678901234")
    assert '"account":123456789012345678901234,' in answer.text


def raw(service: Service, name: str, body: str) -> requests.Response:
    return requests.post(
        f"{service.base}/{name}",
        data=body,
        headers={"Content-Type": "application/json"},
        timeout=patient(60),
    )


def test_one_of_many_in_a_turn_may_have_rows(service: Service) -> None:
    """Beside requests of one row that arrive with it, over one connection."""
    single, several = json.dumps({"variables": {"x": 1}}), json.dumps({"variables": [{"x": 2}] * 2})
    with requests.Session() as session:
        for _ in range(3):  # the head is cached from the second one on
            for body, expected in ((single, {"y": 1}), (several, [{"y": 2}] * 2)):
                for name in ("Worker", "Returned"):
                    answer = session.post(
                        f"{service.base}/{name}",
                        data=body,
                        headers={"Content-Type": "application/json"},
                        timeout=patient(60),
                    )
                    assert answer.json() == expected
