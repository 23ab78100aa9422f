"""The dashboard for Grafana: it asks for metrics and labels that are really exported."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelsync.api.app import create_app
from scripts.chart_values import CHART
from tests.api.serving import a_service
from tests.api.test_compiled import COMPILED, with_compilations
from tests.chart.rendering import NAMESPACE, Object, in_ci, rendered
from tests.fixtures.git import GitServer
from tests.service.following import following, push
from tests.waiting import until

ON = {"metrics": {"dashboard": {"enabled": True}}}
DASHBOARD: dict[str, Any] = json.loads((CHART / "files" / "dashboard.json").read_text("utf-8"))

SCRAPED = {"namespace", "job", "pod", "instance", "container", "endpoint"}
"""Labels that Prometheus adds to everything that it scrapes."""

OTHERS = {
    "up": SCRAPED,
    "container_memory_working_set_bytes": {"namespace", "pod", "container"},
    "container_cpu_usage_seconds_total": {"namespace", "pod", "container"},
    "kube_pod_container_status_restarts_total": {"namespace", "pod", "container"},
}
"""Metrics of Prometheus, the kubelet and kube-state-metrics, with the labels that are asked for."""


def panels() -> Iterator[Object]:
    """Those that show something."""
    return (one for one in DASHBOARD["panels"] if one["type"] != "row")


def queries() -> Iterator[tuple[str, str, str]]:
    """Title, expression as Prometheus gets it, and legend of each query."""
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "5m").replace("$job", "shop")
            yield panel["title"], text.replace("$namespace", "pricing"), target["legendFormat"]


def selectors(expression: str) -> dict[str, set[str]]:
    """Each metric of an expression with the labels that are compared."""
    found: dict[str, set[str]] = {}

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            labels = {matcher.name for matcher in node.matchers.matchers}
            found.setdefault(str(node.name), set()).update(labels)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def grouped(expression: str, legend: str) -> set[str]:
    """The labels by which an expression groups, and those that its legend shows."""
    lists = re.findall(r"\b(?:by|on|without|ignoring) \(([^)]*)\)", expression)
    shown = re.findall(r"\{\{(\w+)\}\}", legend)
    return {label.strip() for one in lists for label in one.split(",")} | set(shown)


def exported(text: str) -> dict[str, set[str]]:
    """The labels of every metric on a page that Prometheus reads."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """What a service exports that has answered by a process of the model's own, and whose
    repository is gone; and a service with a compiled model.
    """
    folder = tmp_path_factory.mktemp("service")
    compiled = with_compilations(a_service(folder / "compiled"), Add=COMPILED)
    metrics = create_app(compiled).test_client().get("/metrics").text
    with (
        GitServer(folder / "repository.git") as git,
        following(folder, git, ready=False, MODELSYNC_ISOLATION="model") as service,
    ):
        push(git, 1, {"Broken/etls.py": "import no_such_module"})
        service.sync()
        until(lambda: service.post("Model").status_code == 200, 60)
        git.path.rename(folder / "gone")
        service.sync()

        def failed() -> str:
            text = service.get("/metrics").text
            return text if "modelsync_sync_failures_total{" in text else ""

        found = exported(until(failed, 60, "a sync that fails"))
    return exported(metrics) | found


def test_panels_ask_for_what_is_there(page: dict[str, set[str]]) -> None:
    """Each query names metrics that are exported and labels that these metrics have."""
    for title, expression, legend in queries():
        asked = selectors(expression)
        assert asked, title
        for metric, labels in asked.items():
            known = OTHERS.get(metric) or page[metric] | SCRAPED
            assert labels <= known, (title, metric)
            assert grouped(expression, legend) <= known, (title, metric)


def test_a_wrong_label_is_seen(page: dict[str, set[str]]) -> None:
    """The test above can fail."""
    assert selectors('a{b="c"} / on (d) rate(e{f!="g"}[5m])') == {"a": {"b"}, "e": {"f"}}
    assert grouped("sum by (a, b) (c)", "{{d}} p50") == {"a", "b", "d"}
    assert "modell" not in page["modelsync_requests_total"]


def test_panels_are_about_one_release() -> None:
    """Each selector goes by the namespace and the release that are chosen above."""
    for title, expression, _ in queries():
        for metric, labels in selectors(expression).items():
            assert "namespace" in labels, title
            assert labels & {"job", "pod"}, (title, metric)


def test_what_an_operator_asks_has_a_panel() -> None:
    """Traffic, failures, latency, queue, state, commits, syncs, memory, compiled, restarts."""
    shown = " ".join(expression for _, expression, _ in queries())
    for metric in (
        "requests_total", "request_failures_total", "request_duration_seconds_bucket",
        "requests_in_flight", "model_loaded", "commit_info", "sync_failures_total",
        "sync_in_step", "model_compiled", "runner_restarts_total",
    ):  # fmt: skip
        assert f"modelsync_{metric}" in shown
    for metric in OTHERS:
        assert metric in shown


def test_panels_do_not_overlap() -> None:
    """No panel lies on another one, and each has a number of its own."""
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))


def test_the_sidecar_finds_it() -> None:
    """The ConfigMap has the label of Grafana's sidecar, and the folder as its annotation."""
    found = rendered(ON).one("ConfigMap", "-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert "annotations" not in found["metadata"]
    full = rendered(in_ci("full")).one("ConfigMap", "-dashboard")["metadata"]
    assert full["annotations"] == {"example.com/dashboard": "true", "grafana_folder": "Models"}
    assert full["labels"]["grafana"] == "pricing"


def test_each_release_has_its_own() -> None:
    """It begins with its release, and shares neither uid nor title with that of another one;
    legends and queries are those of the file.
    """

    def of(release: str) -> dict[str, Any]:
        (text,) = rendered(ON, release=release).one("ConfigMap", "-dashboard")["data"].values()
        found: dict[str, Any] = json.loads(text)
        return found

    first, second = of("shop"), of("other")
    assert first["panels"] == DASHBOARD["panels"]
    assert first["title"] == f"{NAMESPACE} / shop-modelsync"
    assert re.fullmatch("[a-z0-9-]{1,40}", first["uid"])
    assert (first["uid"], first["title"]) != (second["uid"], second["title"])
    current = {one["name"]: one["current"].get("value") for one in first["templating"]["list"]}
    assert current == {"datasource": None, "namespace": NAMESPACE, "job": "shop-modelsync"}
