"""KEDA's ScaledObject (`autoscaling.keda`), in the place of a HorizontalPodAutoscaler."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from tests.chart.rendering import FOLLOWING, in_ci, refused, rendered
from tests.chart.validation import validate

CRON = {
    "type": "cron",
    "metadata": {"timezone": "Etc/UTC", "start": "0 6 * * *", "end": "0 20 * * *"},
}
BUSY = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "70"}}


def scaled(**keda: Any) -> dict[str, Any]:
    return {"autoscaling": {"keda": {"enabled": True, "triggers": [CRON], **keda}}}


def test_keda_owns_the_number_of_pods() -> None:
    """The Deployment says nothing of replicas, and there is no second autoscaler."""
    objects = rendered(in_ci("keda"))
    assert "HorizontalPodAutoscaler" not in objects.kinds
    assert "replicas" not in objects.one("Deployment")["spec"]
    spec = objects.one("ScaledObject")["spec"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "shop-modelsync",
    }
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 6)
    assert (spec["pollingInterval"], spec["cooldownPeriod"]) == (10, 600)
    assert [one["type"] for one in spec["triggers"]] == ["cron", "prometheus"]
    behaviour = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behaviour["scaleDown"]["stabilizationWindowSeconds"] == 300


def test_unknown_fields_of_a_trigger_are_seen() -> None:
    """By Helm; and by KEDA's own definition, against which the tests hold the object."""
    assert "threshhold" in refused(scaled(triggers=[{**CRON, "threshhold": "1"}]))
    assert "metadata" in refused(scaled(triggers=[{"type": "cron"}]))
    assert "triggers" in refused(scaled(triggers=[{"type": "cpu", "metadata": {"value": 70}}]))
    one = rendered(scaled()).one("ScaledObject")
    validate(one)
    one["spec"]["minReplicas"] = 0
    with pytest.raises(jsonschema.ValidationError, match="minReplicas"):
        validate(one)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"autoscaling": {**scaled()["autoscaling"], "enabled": True}},
            "autoscaling.enabled and autoscaling.keda.enabled are both true",
        ),
        (scaled(triggers=[]), "autoscaling.keda.triggers is empty; there is nothing to scale by"),
        (scaled(minReplicas=11), "autoscaling.keda.minReplicas is over"),
        (scaled(triggers=[BUSY]), "no pod uses cpu or memory then, and nothing would start one"),
        (
            {**FOLLOWING, **scaled(), "state": {"existingClaim": "versions"}, "replicaCount": 1},
            "state.existingClaim is the volume of one pod, but there is more than one replica",
        ),
        (
            {**scaled(), "training": {"enabled": True}, "replicaCount": 1},
            "training.enabled is true with more than one replica, but no database is named",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(values: dict[str, Any], message: str) -> None:
    assert message in refused(values)


@pytest.mark.parametrize(
    "keda", [{"minReplicas": 1, "triggers": [BUSY]}, {"triggers": [BUSY, CRON]}]
)
def test_cpu_scales_where_a_pod_uses_some(keda: dict[str, Any]) -> None:
    """With a pod that stays, or with another trigger that starts the first one."""
    assert rendered(scaled(**keda)).one("ScaledObject")["spec"]["triggers"][0] == BUSY


def test_values_may_stay_while_keda_is_off() -> None:
    """Then the chart sets the number of pods again."""
    objects = rendered(scaled(enabled=False))
    assert "ScaledObject" not in objects.kinds
    assert objects.one("Deployment")["spec"]["replicas"] == 2
