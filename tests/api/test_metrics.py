from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from modelsync.api.app import create_app
from modelsync.observability import counters, totals
from modelsync.observability.counters import Counters
from modelsync.sync.status import Status, write_status
from tests.api.serving import COMMIT, JSON, VERSION, a_service, an_empty_service, body, switched_off

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(client: Any) -> Samples:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((f"modelsync_{name}", frozenset(labels.items())))


def test_requests_are_counted_by_model_and_status(tmp_path: Path) -> None:
    """Requests that are refused before the model is called are counted, too."""
    client = create_app(a_service(tmp_path, MODELSYNC_MAX_BODY="1KiB")).test_client()
    for _ in range(3):
        client.post("/models/Add", data=body(a=1), headers=JSON)
    client.post("/models/Add", data=body(a="x"), headers=JSON)
    client.post("/models/Add", data=body(a=1))
    client.post("/models/Add", data=b" " * 2000, headers=JSON)
    client.post("/models/Raises", data=body(), headers=JSON)
    client.post("/models/all?models=Add", data=body(a=1), headers=JSON)
    found = scraped(client)
    assert value(found, "requests_total", model="Add", code="200") == 4
    for code in ("422", "415", "413"):
        assert value(found, "requests_total", model="Add", code=code) == 1
    assert value(found, "request_failures_total", model="Add") == 0
    assert value(found, "request_failures_total", model="Raises") == 1
    assert value(found, "requests_in_flight", model="Add") == 0
    assert value(found, "request_duration_seconds_count", model="Add") == 7
    assert value(found, "request_duration_seconds_bucket", model="Add", le="+Inf") == 7
    assert value(found, "request_duration_seconds_bucket", model="Add", le="30") == 7


def test_all_workers_are_added_up(tmp_path: Path) -> None:
    """Each worker tells the sum of all workers, also of one that has ended."""
    service = a_service(tmp_path)
    client = create_app(service).test_client()
    client.post("/models/Add", data=body(a=1), headers=JSON)
    folder = counters.folder(service.settings.state.home)
    other = Counters(folder, list(service.models), pid=1)
    other.rows["Add"].observe("ok", 0.2)
    other.rows["Add"].begin(1)
    found = scraped(client)
    assert value(found, "requests_total", model="Add", code="200") == 2
    assert value(found, "requests_in_flight", model="Add") == 1
    totals.retire(folder, pid=1)
    found = scraped(client)
    assert value(found, "requests_total", model="Add", code="200") == 2
    assert value(found, "requests_in_flight", model="Add") == 0


def test_what_a_worker_was_answering_when_it_died_is_lost(tmp_path: Path) -> None:
    """Each call has the code `lost` for good and is a failure; an orderly end loses nothing."""
    service = a_service(tmp_path)
    client = create_app(service).test_client()
    folder = counters.folder(service.settings.state.home)
    models = list(service.models)
    died = Counters(folder, models, pid=1)
    died.rows["Add"].begin(3)
    died.loop_row("Add").begin(2)
    ended = Counters(folder, models, pid=2)
    ended.rows["Echo"].begin(1)  # it hangs; its client has got a 504
    ended.loop_row("Echo").begin(1)
    ended.answered()
    for _ in range(2):
        totals.retire(folder, pid=1)
        totals.retire(folder, pid=2)
    found = scraped(client)
    assert value(found, "requests_total", model="Add", code="lost") == 5
    assert value(found, "request_failures_total", model="Add") == 5
    assert value(found, "requests_total", model="Echo", code="lost") is None
    assert value(found, "request_failures_total", model="Echo") == 0
    assert value(found, "requests_in_flight", model="Add") == 0


def test_names_that_clients_make_up_are_no_labels(tmp_path: Path) -> None:
    """Requests for unknown models do not fill the memory of Prometheus."""
    client = create_app(a_service(tmp_path)).test_client()
    client.post("/models/MadeUp", data=body(), headers=JSON)
    client.post("/models/all?models=MadeUp", data=body(), headers=JSON)
    client.get("/models/MadeUp")
    assert "MadeUp" not in client.get("/metrics").text


def test_what_is_loaded_and_what_is_switched_off(tmp_path: Path) -> None:
    """Each model has its state and version; one that is switched off counts as not loaded."""
    client = create_app(switched_off(a_service(tmp_path), "Echo")).test_client()
    found = scraped(client)
    assert value(found, "model_loaded", model="Add", state="ready", version=VERSION) == 1
    assert value(found, "model_loaded", model="Old", state="stale", version=VERSION) == 1
    assert value(found, "model_loaded", model="Broken", state="failed", version="") == 0
    assert value(found, "model_switched_off", model="Add") == 0
    assert value(found, "model_switched_off", model="Echo") == 1
    assert value(found, "model_loaded", model="Echo", state="switched_off", version=VERSION) == 0
    assert client.post("/models/Echo", data=body(), headers=JSON).headers["Retry-After"]


def test_following_the_source(tmp_path: Path) -> None:
    """The metrics tell the wanted and the served commit, failures by reason, last success."""
    service = a_service(tmp_path)
    client = create_app(service).test_client()
    found = scraped(client)
    assert value(found, "sync_in_step") == 1
    assert value(found, "sync_last_success_timestamp_seconds") is None
    succeeded = datetime.now(UTC) - timedelta(hours=1)
    status = Status(
        "d" * 40, COMMIT, last_success=succeeded.isoformat(), failures={"auth": 2, "timeout": 1}
    )
    write_status(service.settings.state.home, status)
    found = scraped(client)
    assert value(found, "sync_in_step") == 0
    assert value(found, "commit_info", which="wanted", commit="d" * 40) == 1
    assert value(found, "commit_info", which="served", commit=COMMIT) == 1
    assert value(found, "sync_failures_total", reason="auth") == 2
    assert value(found, "sync_failures_total", reason="timeout") == 1
    assert value(found, "sync_last_success_timestamp_seconds") == succeeded.timestamp()
    age = value(found, "sync_last_success_age_seconds")
    assert age is not None
    assert 3600 <= age < 3700
    assert value(found, "release_info", release=COMMIT, commit=COMMIT) == 1


def test_every_family_says_what_it_is(tmp_path: Path) -> None:
    """Each family has HELP and TYPE, also before the first release."""
    for service in (a_service(tmp_path), an_empty_service(tmp_path)):
        text = create_app(service).test_client().get("/metrics").text
        for family in text_string_to_metric_families(text):
            assert family.documentation.endswith(".")
            assert family.type in {"counter", "gauge", "histogram"}
        assert "modelsync_build_info{" in text
