"""The chart's pods: what they may do, what they are told, and how they come and go."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelsync import settings
from tests.chart.rendering import CI, FOLLOWING, Object, in_ci, refused, rendered

SAFE_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}

MODES: dict[str, dict[str, Any]] = {
    "standalone": {},
    "rollout": FOLLOWING,
    "pod": {**FOLLOWING, "sync": {"mode": "pod"}},
    **{f"ci/{name}": in_ci(name) for name in CI},
}


def violations(pod: Object) -> list[str]:
    """What the Pod Security Standard Restricted has against a pod."""
    spec = pod["spec"]
    whole = spec.get("securityContext", {})
    found = [f"spec.{name}" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    found += [
        f"spec.securityContext.{name}" for name in ("sysctls", "windowsOptions") if whole.get(name)
    ]
    for volume in spec.get("volumes", []):
        found += [
            f"volume {volume['name']}: {kind}" for kind in set(volume) - {"name"} - SAFE_VOLUMES
        ]
    for container in (*spec.get("initContainers", []), *spec["containers"]):
        own = container.get("securityContext", {})
        found += [
            f"container {container['name']}: {name}"
            for name, kept in {
                "privileged": not own.get("privileged"),
                "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
                "capabilities.drop": own.get("capabilities", {}).get("drop") == ["ALL"],
                "capabilities.add": set(own.get("capabilities", {}).get("add", []))
                <= {"NET_BIND_SERVICE"},
                "runAsNonRoot": own.get("runAsNonRoot", whole.get("runAsNonRoot")) is True,
                "runAsUser": own.get("runAsUser", whole.get("runAsUser")) != 0,
                "seccompProfile": own.get("seccompProfile", whole.get("seccompProfile", {})).get(
                    "type"
                )
                in {"RuntimeDefault", "Localhost"},
                "procMount": own.get("procMount", "Default") == "Default",
                "hostPort": not any(port.get("hostPort") for port in container.get("ports", [])),
            }.items()
            if not kept
        ]
    return found


@pytest.mark.parametrize("mode", MODES)
def test_pods_are_restricted(mode: str) -> None:
    """Every pod, the rollout's and the test's too, fits the Pod Security Standard Restricted."""
    for component, pod in rendered(MODES[mode]).pods():
        assert violations(pod) == [], component


def test_violations_are_seen() -> None:
    """The list above is not always empty."""
    values = {
        "securityContext": {"allowPrivilegeEscalation": True},
        "podSecurityContext": {"runAsUser": 0},
    }
    found = violations(rendered(values).pod())
    assert found == [
        "container modelsync: allowPrivilegeEscalation",
        "container modelsync: runAsUser",
    ]
    host = violations(
        rendered({"extraVolumes": [{"name": "host", "hostPath": {"path": "/"}}]}).pod()
    )
    assert host == ["volume host: hostPath"]


@pytest.mark.parametrize("mode", MODES)
def test_the_root_is_read_only(mode: str) -> None:
    """The chart's containers write to their volumes alone: state and /tmp, both of limited size."""
    objects = rendered(MODES[mode])
    for component, pod in objects.pods():
        assert objects.container(component)["securityContext"]["readOnlyRootFilesystem"] is True
        for volume in pod["spec"].get("volumes", []):
            if volume["name"] in {"state", "tmp"}:
                assert volume.get("emptyDir", {}).get("sizeLimit") or (
                    component == "server" and volume["persistentVolumeClaim"]["claimName"]
                )


@pytest.mark.parametrize("mode", MODES)
def test_only_rollouts_and_the_dispatcher_have_a_token_of_the_api_server(mode: str) -> None:
    """Pods that run models for clients, or fit them, cannot ask the API server; no ServiceAccount
    mounts a token by itself.
    """
    objects = rendered(MODES[mode])
    for component, pod in objects.pods():
        asks = component in {"rollout", "follower", "dispatcher"}
        assert pod["spec"]["automountServiceAccountToken"] is asks
    for one in objects.all:
        if one["kind"] == "ServiceAccount":
            assert one["automountServiceAccountToken"] is False


@pytest.mark.parametrize("mode", MODES)
def test_no_service_links(mode: str) -> None:
    """A Service named modelsync does not become a setting MODELSYNC_PORT in any pod."""
    for _, pod in rendered(MODES[mode]).pods():
        assert pod["spec"]["enableServiceLinks"] is False


# --- what they are told ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_settings_are_understood(mode: str) -> None:
    """What a container finds in its environment loads as settings, in every mode; the listener is
    the port's.
    """
    objects = rendered(MODES[mode])
    for component in dict(objects.pods()).keys() - {"test", "prepull"}:
        found = settings.load(objects.environment(component))
        port = objects.container()["ports"][0]["containerPort"]
        assert found.server.host == ("::" if mode == "ci/full" else "0.0.0.0")
        assert found.server.port == port
        mounts = {mount["mountPath"] for mount in objects.container(component)["volumeMounts"]}
        assert str(found.state.home) in mounts
        if component == "rollout":
            assert found.rollout.deployment == objects.fullname
            assert found.rollout.state == f"{objects.fullname}-rollout"


def test_values_become_settings() -> None:
    """The settings of ci/full-values.yaml arrive as they are written there, whole numbers too."""
    found = settings.load(rendered(in_ci("full")).environment())
    assert found.server.base_url == "api/models"
    assert (found.server.max_queue, found.server.max_body, found.server.workers) == (
        1_000_000,
        5 * 1024**2,
        1,
    )
    assert (found.server.drain_timeout, found.server.preload) == (20.0, False)
    assert (found.git.path, found.git.user) == (
        "https://git.example.com/pricing/models.git",
        "reader",
    )
    assert (found.git.ref, found.git.subdir, found.git.fallback) == ("main", "models", True)
    assert (found.sync.timeout, found.sync.on_broken_model, found.sync.keep_releases) == (
        90.0,
        "reject",
        2,
    )
    assert (found.rollout.timeout, found.logs.level) == (600.0, "debug")


@pytest.mark.parametrize(("mode", "cron"), [("rollout", "off"), ("pod", "*/5 * * * *")])
def test_who_follows(mode: str, cron: str) -> None:
    """In mode rollout pods do not look for commits by themselves; in mode pod they do, by the
    values' schedule.
    """
    environment = rendered({**FOLLOWING, "sync": {"mode": mode}}).environment()
    assert settings.load(environment).sync.cron == cron


def test_a_pod_is_pinned_by_its_annotation() -> None:
    """In mode rollout the pod's annotation is the commit that it serves; without one it serves
    none.
    """
    objects = rendered(FOLLOWING)
    assert not settings.load(objects.environment()).git.follows
    variables = {one["name"]: one.get("valueFrom") for one in objects.container()["env"]}
    assert variables["MODELSYNC_GIT_REVISION"] == {
        "fieldRef": {"fieldPath": "metadata.annotations['modelsync.dev/revision']"}
    }
    assert variables["MODELSYNC_GIT_PROVEN"]["configMapKeyRef"] == {
        "name": "shop-modelsync-rollout", "key": "good", "optional": True,
    }  # fmt: skip
    assert not settings.load(objects.environment(MODELSYNC_GIT_REVISION="")).git.revision
    assert "MODELSYNC_GIT_REVISION" not in {
        one["name"] for one in rendered(MODES["pod"]).container()["env"]
    }


@pytest.mark.parametrize(
    ("resources", "source"),
    [
        ({"requests": {"cpu": "1500m"}}, "requests.cpu"),
        ({"requests": {"cpu": 1}, "limits": {"cpu": 2}}, "limits.cpu"),
        ({"requests": {"cpu": None}}, None),
    ],
)
def test_workers_follow_the_pods_processors(resources: dict[str, Any], source: str | None) -> None:
    """There is one worker for each CPU that the pod has, not for each that the node has."""
    variables = {one["name"]: one for one in rendered({"resources": resources}).container()["env"]}
    found = variables.get("MODELSYNC_WORKERS")
    assert (found and found["valueFrom"]["resourceFieldRef"]["resource"]) == source
    fixed = rendered({"settings": {"MODELSYNC_WORKERS": 3}})
    assert fixed.environment()["MODELSYNC_WORKERS"] == "3"


def test_a_changed_setting_restarts_the_pods() -> None:
    """The sum of the settings stands on the pod template; tokens, which are read at each use, are
    not in it.
    """

    def template(**values: Any) -> Object:
        return rendered({**FOLLOWING, "auth": {"adminTokens": ["a"]}, **values}).pod()

    before = template()
    assert template(settings={"MODELSYNC_THREADS": 5})["metadata"] != before["metadata"]
    assert template(auth={"adminTokens": ["b"]}) == before
    assert template(sync={"schedule": "*/7 * * * *"}) == before
    assert template(replicaCount=7) == before


def test_a_new_chart_alone_restarts_nothing() -> None:
    """The version of the chart is not on the pod template."""
    assert "helm.sh/chart" not in json.dumps(rendered().pod())


def test_image() -> None:
    """The digest wins over the tag; without either it is the version that the chart is for."""
    image = {
        "repository": "registry.example.com/modelsync",
        "tag": "2",
        "digest": f"sha256:{'a' * 64}",
    }
    for component, _ in rendered({**FOLLOWING, "image": image}).pods():
        container = rendered({**FOLLOWING, "image": image}).container(component)
        assert container["image"] == f"registry.example.com/modelsync@sha256:{'a' * 64}"
    assert rendered({"image": {"tag": "2"}}).container()["image"] == "modelsync:2"
    assert rendered().container()["image"] == "modelsync:0.1.0"


def test_additions_reach_the_pods() -> None:
    """Environment, volumes and mounts of the values are in the pods that serve and in the
    rollout's.
    """
    objects = rendered(in_ci("full"))
    for component in ("server", "rollout"):
        container = objects.container(component)
        assert {"name": "OMP_NUM_THREADS", "value": "1"} in container["env"]
        assert {"secretRef": {"name": "model-passwords", "optional": True}} in container["envFrom"]
        assert {"name": "data", "mountPath": "/data"} in container["volumeMounts"]
        assert {"name": "data", "emptyDir": {}} in objects.pod(component)["spec"]["volumes"]
        assert objects.pod(component)["metadata"]["labels"]["cost-centre"] == "42"
    assert [one["name"] for one in objects.pod()["spec"]["containers"]] == ["modelsync", "beside"]


# --- how they come and go -------------------------------------------------------------------------


def test_each_probe_asks_for_its_own() -> None:
    """Start and life ask /livez, so that a repository that is away restarts nothing; readiness asks
    /readyz.
    """
    container = rendered().container()
    asked = {
        name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")
    }
    assert asked == {
        "startup": {"path": "/livez", "port": "http"},
        "readiness": {"path": "/readyz", "port": "http"},
        "liveness": {"path": "/livez", "port": "http"},
    }
    assert (
        len(
            {
                json.dumps({**container[f"{name}Probe"], "httpGet": None}, sort_keys=True)
                for name in asked
            }
        )
        == 3
    )


def test_no_pod_goes_before_another_is_ready() -> None:
    """A rollout takes no pod away, and a new one counts once it has been ready for a while."""
    spec = rendered().one("Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": "25%"}
    assert spec["minReadySeconds"] > 0
    assert spec["progressDeadlineSeconds"] > spec["minReadySeconds"]
    assert spec["revisionHistoryLimit"] > 1


@pytest.mark.parametrize(
    ("drain", "seconds"), [("30s", 30), ("500ms", 1), ("2m", 120), (45, 45), ("1.5m", 90)]
)
def test_a_pod_gets_the_time_to_drain(drain: str | int, seconds: int) -> None:
    """The grace period holds the sleep before the end, the drain, and what the supervisor needs
    besides.
    """
    pod = rendered(
        {"settings": {"MODELSYNC_DRAIN_TIMEOUT": drain}, "lifecycle": {"preStopSleepSeconds": 7}}
    ).pod()
    assert pod["spec"]["containers"][0]["lifecycle"]["preStop"] == {"sleep": {"seconds": 7}}
    assert pod["spec"]["terminationGracePeriodSeconds"] == 7 + seconds + 20


PEERS = {
    "labelSelector": {
        "matchLabels": {
            "app.kubernetes.io/name": "modelsync",
            "app.kubernetes.io/instance": "shop",
            "app.kubernetes.io/component": "server",
        }
    },
    "matchLabelKeys": ["pod-template-hash"],
}
"""The pods of the same revision."""

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


def test_pods_are_spread() -> None:
    """They prefer nodes, and less so zones, with fewer pods of the same revision; no constraint
    needs a label that nodes may lack.
    """
    spec = rendered().pod()["spec"]
    apart = spec["affinity"]["podAntiAffinity"]
    assert apart["preferredDuringSchedulingIgnoredDuringExecution"] == [
        {"weight": 100, "podAffinityTerm": {"topologyKey": HOST, **PEERS}},
        {"weight": 50, "podAffinityTerm": {"topologyKey": ZONE, **PEERS}},
    ]
    assert "topologySpreadConstraints" not in spec


def test_a_spread_of_ones_own() -> None:
    """Terms and constraints without a selector get that of the pods; all others stay as they are.
    What else is said of affinity leaves the spread, and null removes it.
    """
    other = {"topologyKey": ZONE, "labelSelector": {"matchLabels": {"app": "database"}}}
    spread = {"topologyKey": ZONE, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    own = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": HOST}, other]}
    values = {
        "affinity": {"podAntiAffinity": own},
        "topologySpreadConstraints": [spread, {**spread, **other}],
    }
    spec = rendered(values).pod()["spec"]
    terms = spec["affinity"]["podAntiAffinity"]
    assert terms["requiredDuringSchedulingIgnoredDuringExecution"] == [
        {"topologyKey": HOST, **PEERS},
        other,
    ]
    assert len(terms["preferredDuringSchedulingIgnoredDuringExecution"]) == 2
    assert spec["topologySpreadConstraints"] == [{**spread, **PEERS}, {**spread, **other}]
    assert "affinity" not in rendered({"affinity": {"podAntiAffinity": None}}).pod()["spec"]


# --- containers beside ----------------------------------------------------------------------------


def test_all_that_load_models_have_the_same_beside_them() -> None:
    """What runs before and beside the service does so where models are checked and fitted too;
    there as sidecars, which end with the job.
    """
    objects = rendered(in_ci("full"))
    pods = {component: pod["spec"] for component, pod in objects.pods()}
    assert [one["name"] for one in pods["server"]["initContainers"]] == ["first"]
    (beside,) = pods["server"]["containers"][1:]
    for component in ("rollout", "job", "train"):
        first, sidecar = pods[component]["initContainers"]
        assert first == pods["server"]["initContainers"][0]
        assert sidecar == {**beside, "restartPolicy": "Always"}
        assert len(pods[component]["containers"]) == 1
    for component in ("dispatcher", "test"):
        assert "initContainers" not in pods[component]


def test_a_volume_of_the_server_alone_is_told() -> None:
    """A container beside that mounts what a rollout's pod lacks would keep the CronJob from being
    made.
    """
    mounts = [{"name": "auth", "mountPath": "/tokens"}]
    values = {"extraContainers": [{"name": "proxy", "image": "proxy", "volumeMounts": mounts}]}
    said = refused({**FOLLOWING, **values})
    assert "extraContainers mounts the volume auth in proxy, which the pods of rollouts" in said
    assert rendered(values).pod()["spec"]["containers"][1]["volumeMounts"] == mounts


def test_no_sleep_before_the_end() -> None:
    """With 0 seconds there is no hook: Kubernetes refuses one of 0."""
    assert "lifecycle" not in rendered({"lifecycle": {"preStopSleepSeconds": 0}}).container()
