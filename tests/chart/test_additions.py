"""What an operator adds: fields of the pods, objects, and pods that pull the image beforehand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.rendering import CI, FOLLOWING, NAMESPACE, in_ci, refused, rendered


def test_fields_of_the_pods_spec() -> None:
    """What the chart has no value for stands in all pods as it was given."""
    added = {
        "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
        "schedulerName": "another",
        "hostUsers": False,
    }
    objects = rendered({**FOLLOWING, "extraPodSpec": added})
    assert len(dict(objects.pods())) > 2
    for component, pod in objects.pods():
        assert added.items() <= pod["spec"].items(), component
        plain = dict(rendered(FOLLOWING).pods())[component]["spec"]
        assert {name: pod["spec"][name] for name in plain} == plain


@pytest.mark.parametrize("mode", CI)
def test_fields_that_the_chart_writes_have_their_own_values(mode: str) -> None:
    """Every field that is in any pod of the chart is refused there, and told where it belongs."""
    added = in_ci(mode).get("extraPodSpec", {}).keys()
    written = {name for _, pod in rendered(in_ci(mode)).pods() for name in pod["spec"]} - added
    given: dict[str, Any] = {
        "containers": [{"name": "a"}],
        "initContainers": [{"name": "a"}],
        "volumes": [{"name": "a"}],
        "automountServiceAccountToken": True,
        "enableServiceLinks": True,
        "terminationGracePeriodSeconds": 5,
        **{name: {} for name in ("affinity", "nodeSelector", "securityContext")},
        "hostAliases": [{"ip": "127.0.0.2"}],
        "imagePullSecrets": [{"name": "a"}],
        "tolerations": [{"key": "a"}],
        "topologySpreadConstraints": [],
        "restartPolicy": "Never",
        "serviceAccountName": "a",
        "priorityClassName": "a",
        "runtimeClassName": "a",
    }
    said = refused({"extraPodSpec": {name: given[name] for name in written}})
    for name in written:
        assert f"- extraPodSpec.{name} is written by the chart; " in said


def test_misspelt_fields_are_refused() -> None:
    """The schema knows the fields of a pod's spec."""
    assert "dnsConfigs" in refused({"extraPodSpec": {"dnsConfigs": {}}})


def test_objects_besides() -> None:
    """A mapping or a text is installed with the release; what stands in braces is rendered."""
    mapping = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": '{{ include "modelsync.fullname" . }}-mine'},
        "data": {"namespace": "{{ .Release.Namespace }}", "replicas": "{{ .Values.replicaCount }}"},
    }
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: '{{ .Release.Name }}-text'}\n"
    objects = rendered({"extraObjects": [mapping, text]})
    found = objects.one("ConfigMap", "-mine")
    assert found["data"] == {"namespace": NAMESPACE, "replicas": "2"}
    assert "Secret/shop-text" in objects.names
    assert "kind" in refused({"extraObjects": [{"apiVersion": "v1"}]})


def test_the_image_is_pulled_beforehand() -> None:
    """On each node where pods may run, by the very image that they have, with next to nothing of
    its resources.
    """
    values = {
        "prePull": {"enabled": True},
        "image": {"repository": "registry.example.com/modelsync", "tag": "7"},
        "nodeSelector": {"pool": "models"},
        "tolerations": [{"key": "models", "operator": "Exists"}],
    }
    objects = rendered(values)
    pod, ours = objects.pod("prepull")["spec"], objects.pod()["spec"]
    (container,) = pod["containers"]
    assert container["image"] == objects.container()["image"]
    assert container["imagePullPolicy"] == objects.container()["imagePullPolicy"]
    assert container["command"] == ["sleep", "infinity"]
    assert container["resources"]["requests"] == {"cpu": "1m", "memory": "8Mi"}
    for name in ("nodeSelector", "tolerations", "securityContext"):
        assert pod[name] == ours[name]
    assert "DaemonSet" not in rendered().kinds
