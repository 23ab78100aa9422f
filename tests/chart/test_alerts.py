"""The PrometheusRule: alerts that can fire, on metrics that are really exported, each explained in
the docs.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import promql_parser
import pytest
from prometheus_client.exposition import generate_latest

from modelsync.rollout.decision import Look, Observed, RolloutState, Step
from modelsync.rollout.follower_metrics import Families
from modelsync.rollout.track import Track, TrackCounts, TrackView
from modelsync.settings import Settings
from tests.api.serving import JSON, a_service, body
from tests.chart.rendering import FOLLOWING, in_ci, rendered

DOCS = (Path(__file__).parents[2] / "docs" / "kubernetes.md").read_text("utf-8")
RULE = {"metrics": {"prometheusRule": {"enabled": True}}}
MODES: dict[str, dict[str, Any]] = {
    "standalone": RULE,
    "rollout": {**FOLLOWING, **RULE},
    "pod": {**FOLLOWING, **RULE, "sync": {"mode": "pod"}},
}


def rules(mode: str) -> dict[str, Any]:
    (group,) = rendered(MODES[mode]).one("PrometheusRule")["spec"]["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def selectors(expression: str) -> list[str]:
    """The metrics that an expression asks for; raises ValueError where it is no PromQL."""
    promql_parser.parse(expression)
    return re.findall(r"\b((?:modelsync|kube)_[a-z_]+|up)\b(?=[{\[ ])", expression)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of all metrics that the service exports once it has answered something and a sync has
    failed.
    """
    from modelsync.api.app import create_app
    from modelsync.sync.status import Status, write_status

    folder = tmp_path_factory.mktemp("service")
    service = a_service(folder)
    write_status(
        service.settings.state.home,
        Status(
            wanted_commit="a" * 40, last_success="2026-11-20T07:00:00+00:00", failures={"auth": 1}
        ),
    )
    client = create_app(service).test_client()
    client.post("/models/Add", data=body(a=1), headers=JSON)
    text = client.get("/metrics").text + _exported_by_the_follower()
    return set(re.findall(r"^(\w+)[{ ]", text, re.MULTILINE))


def _exported_by_the_follower() -> str:
    """The metrics of a follower whose commit was rejected."""
    tip, bad = "a" * 40, RolloutState(rejected="a" * 40, reason="check")
    track = cast(
        "Track",
        SimpleNamespace(
            settings=Settings(),
            run=SimpleNamespace(told=Counter()),
            counts=TrackCounts(),
            view=TrackView(
                look=Look(tip, Observed(), bad, Step.REST), resolved="2026-11-20T07:00:00+00:00"
            ),
        ),
    )
    return generate_latest(Families([track])).decode()


@pytest.mark.parametrize("mode", MODES)
def test_alerts_ask_for_metrics_that_are_there(mode: str, exported: set[str]) -> None:
    """An alert on a metric that nobody exports never fires. `up` is Prometheus', kube_* are
    kube-state-metrics'.
    """
    for name, rule in rules(mode).items():
        found = selectors(rule["expr"])
        assert found, name
        assert {one for one in found if one.startswith("modelsync_")} <= exported, name


@pytest.mark.parametrize("mode", MODES)
def test_alerts_are_about_this_release(mode: str) -> None:
    """Each selector names the namespace, and our job or CronJob: two releases do not wake each
    other's people.
    """
    for name, rule in rules(mode).items():
        asked = re.findall(r"\w\{([^}]*)\}", rule["expr"])
        assert asked, name
        for labels in asked:
            assert 'namespace="pricing"' in labels, name
            assert re.search(
                r'job="shop-modelsync(-follower)?"|(job_name|cronjob)=~?"shop-modelsync-rollout',
                labels,
            ), name
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"].endswith(".")


def test_alerts_fit_the_mode() -> None:
    """What can only be in one mode is asked for in that mode alone."""
    always = set(rules("standalone"))
    assert set(rules("pod")) - always == {"ModelsyncRepositoryNotSeen", "ModelsyncSyncFailing"}
    assert set(rules("rollout")) - always == {
        "ModelsyncSyncFailing", "ModelsyncRolloutFailed", "ModelsyncRolloutsStopped",
        "ModelsyncCommitRejected", "ModelsyncFollowerBlind",
    }  # fmt: skip
    without = {**FOLLOWING, "metrics": {"prometheusRule": {"enabled": True, "rollouts": False}}}
    names = {
        rule["alert"]
        for rule in rendered(without).one("PrometheusRule")["spec"]["groups"][0]["rules"]
    }
    followed = {"ModelsyncCommitRejected", "ModelsyncFollowerBlind"}
    assert names == always | {"ModelsyncSyncFailing"} | followed


def test_alerts_are_adjustable() -> None:
    """Thresholds, labels, and alerts that are not wanted come from the values."""
    rule = rendered(in_ci("full")).one("PrometheusRule")
    found = {one["alert"]: one for one in rule["spec"]["groups"][0]["rules"]}
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert found["ModelsyncErrors"]["expr"].endswith("> 0.05")
    assert found["ModelsyncDown"]["labels"] == {"severity": "critical", "team": "pricing"}
    assert "ModelsyncSlow" not in found


@pytest.mark.parametrize("name", sorted({name for mode in MODES for name in rules(mode)}))
def test_every_alert_is_explained(name: str) -> None:
    """docs/kubernetes.md says of each alert what it means and what to do."""
    assert re.search(rf"^\| `{name}` \| .+ \| .+ \|$", DOCS, re.MULTILINE)
