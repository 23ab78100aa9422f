"""Values that cannot be meant: refused by Helm with a message that says what to set instead."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.rendering import FOLLOWING, refused, rendered

HTTPS = {"path": "https://git.example.com/models.git"}
ALONE = {"replicaCount": 1}
SCALING = {"enabled": True}
SSH = {"path": "git@git.example.com:models.git", "sshKey": "key", "knownHosts": "hosts"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"git": {**HTTPS, "existingSecret": "a", "password": "b"}},
            "git.existingSecret and git.password are both set",
        ),
        ({"git": {**SSH, "existingSecret": "a"}}, "git.existingSecret and git.sshKey are both set"),
        ({"git": {"password": "b"}}, "git.password is set, but git.path is not"),
        ({"git": {"ref": "main"}}, "git.ref is set, but git.path is not"),
        ({"sync": {"mode": "pod"}}, "sync.mode is pod, but git.path is not set"),
        ({"cache": {"enabled": True}}, "cache.enabled is true, but git.path is not set"),
        ({"fallbackToImage": True}, "fallbackToImage is true, but git.path is not set"),
        (
            {"git": {"path": "http://git.example.com/m.git"}},
            "git.path uses http, which git.protocols (https,ssh)",
        ),
        (
            {"git": {"path": "https://me:secret@git.example.com/m.git"}},
            "git.path holds credentials",
        ),
        (
            {"git": {"path": "git@git.example.com:m.git"}},
            "git.path uses ssh; set git.sshKey, or git.existingSecret",
        ),
        ({"git": {**SSH, "knownHosts": ""}}, "git.path uses ssh; set git.knownHosts"),
        ({"git": {**SSH, "password": "x"}}, "git.password is for https, but git.path uses ssh"),
        ({"git": {**HTTPS, "sshKey": "x"}}, "git.sshKey is for ssh, but git.path uses https"),
        (
            {**FOLLOWING, "cache": {"existingClaim": "mirror"}},
            "cache.existingClaim is set, but cache.enabled is false",
        ),
        (
            {"auth": {"existingSecret": "a", "adminTokens": ["b"]}},
            "auth.existingSecret and auth.adminTokens are both set",
        ),
        (
            {**FOLLOWING, "auth": {"webhookSecret": "x"}, "sync": {"schedule": "off"}},
            "set rollout.follower.enabled true and a sync.schedule other than off, use sync.mode "
            "pod, or let the webhook run `kubectl create job",
        ),
        (
            {"gateway": {"enabled": True}},
            "gateway.enabled is true, but gateway.parentRefs names no Gateway",
        ),
        (
            {"service": {"nodePort": 30000}},
            "service.nodePort is set, but service.type is ClusterIP",
        ),
        (
            {"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 3}},
            "minReplicas is over",
        ),
        (
            {"autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": 0}},
            "there is nothing to scale by",
        ),
        (
            {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}},
            "autoscaling goes by cpu, but resources.requests.cpu is not set",
        ),
        (
            {"training": {"enabled": True}},
            "training.enabled is true with more than one replica, but no database is named; each "
            "pod would keep versions in a SQLite file of its own",
        ),
        (
            {"training": {"enabled": True, "jobs": "process"}, **ALONE, "autoscaling": SCALING},
            "training.enabled is true with more than one replica, but no database is named",
        ),
        (
            {"training": {"enabled": True}, **ALONE},
            "training.jobs is kubernetes, but no database is named; the pod of a Job cannot reach "
            "a SQLite file in another pod",
        ),
        (
            {"training": {"enabled": True, "jobs": "process"}, **ALONE},
            "versions would be in a SQLite file that is lost with its pod; set database.url, or "
            "database.existingSecret, or state.existingClaim",
        ),
        (
            {"training": {"schedule": "0 2 * * *"}},
            "training.schedule is 0 2 * * *, but training.enabled is false",
        ),
        (
            {"state": {"existingClaim": "versions"}},
            "state.existingClaim is the volume of one pod, but there is more than one replica",
        ),
        (
            {"database": {"existingSecret": "a", "url": "postgresql://u@h/n"}},
            "database.existingSecret and database.url are both set",
        ),
        (
            {"artifacts": {"existingSecret": "a", "accessKey": "b", "secretKey": "c"}},
            "artifacts.existingSecret and artifacts.accessKey are both set",
        ),
        (
            {"artifacts": {"accessKey": "b"}},
            "artifacts.accessKey and artifacts.secretKey belong together",
        ),
        (
            {"training": {"data": {"existingSecret": "a", "url": "postgresql://u@h/n"}}},
            "training.data.existingSecret and training.data.url are both set",
        ),
        (
            {"extraEnv": [{"name": "MODELSYNC_DATABASE_URL", "value": "postgresql://u@h/n"}]},
            "extraEnv sets MODELSYNC_DATABASE_URL, which has a value of its own",
        ),
        (
            {"lifecycle": {"terminationGracePeriodSeconds": 30}},
            "lifecycle.terminationGracePeriodSeconds is 30, so requests in flight would be killed; "
            "60 at least",
        ),
        (
            {**FOLLOWING, "sync": {"schedule": "@every 30s"}},
            "sync.schedule is @every 30s, but a CronJob has whole minutes; with sync.mode rollout "
            "write five fields of cron such as * * * * *",
        ),
        (
            {"lifecycle": {"minReadySeconds": 300}},
            "lifecycle.minReadySeconds is 300, so no pod would count as ready within "
            "lifecycle.progressDeadlineSeconds, 300",
        ),
        (
            {"metrics": {"serviceMonitor": {"enabled": True, "scrapeTimeout": "1m"}}},
            "metrics.serviceMonitor.scrapeTimeout is over metrics.serviceMonitor.interval",
        ),
        (
            {"extraEnv": [{"name": "MODELSYNC_THREADS", "value": "3"}]},
            "extraEnv sets MODELSYNC_THREADS, which has",
        ),
        (
            {"extraEnv": [{"name": "gitpassword", "value": "3"}]},
            "extraEnv sets gitpassword, which has",
        ),
        (
            {"lifecycle": {"maxSurge": "0%", "maxUnavailable": 0}},
            "lifecycle.maxSurge and lifecycle.maxUnavailable are both 0",
        ),
        (
            {"image": {"credentials": {"username": "a"}}},
            "image.credentials.username and image.credentials.password belong together",
        ),
        (
            {"service": {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "SingleStack"}},
            "service.ipFamilies names two families, but",
        ),
        (
            {"metrics": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}},
            "metrics.serviceMonitor and metrics.podMonitor are both enabled",
        ),
        (
            {"extraPodSpec": {"affinity": {}}},
            "extraPodSpec.affinity is written by the chart; set affinity",
        ),
    ],
)
def test_contradictions_are_told(values: dict[str, Any], message: str) -> None:
    """The message names both values; nothing is rendered."""
    said = refused(values)
    assert message in said
    assert "secret@" not in said


def test_all_are_told_at_once() -> None:
    """Two contradictions are one message."""
    said = refused({"gateway": {"enabled": True}, "git": {"ref": "main"}})
    assert "git.ref" in said
    assert "gateway.parentRefs" in said


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"replicas": 3}, ["replicas"]),
        ({"git": {"url": "https://git.example.com/m.git"}}, ["git", "url"]),
        ({"settings": {"MODELSYNC_THREAD": 3}}, ["settings", "MODELSYNC_THREAD"]),
        ({"settings": {"MODELSYNC_THREADS": 0}}, ["MODELSYNC_THREADS", "1"]),
        ({"sync": {"onBrokenModel": "ignore"}}, ["onBrokenModel"]),
        ({"sync": {"mode": "push"}}, ["mode"]),
        ({"settings": {"MODELSYNC_JOBS": "kubernetes"}}, ["settings", "MODELSYNC_JOBS"]),
        ({"training": {"jobs": "off"}}, ["jobs"]),
        ({"settings": {"MODELSYNC_TRAIN_CRON": "@daily"}}, ["settings", "MODELSYNC_TRAIN_CRON"]),
        ({"tolerations": [{"keys": "a"}]}, ["tolerations", "keys"]),
        ({"resources": {"request": {"cpu": 1}}}, ["resources", "request"]),
        ({"affinity": {"nodeAffinities": {}}}, ["affinity", "nodeAffinities"]),
        ({"probes": {"readiness": {"httpGet": {"path": "/"}}}}, ["readiness", "httpGet"]),
        ({"tolerations": [{"key": "a", "operator": "Equals"}]}, ["operator", "Exists", "Equal"]),
        ({"tolerations": [{"key": "a", "effect": "NoShedule"}]}, ["effect", "NoSchedule"]),
        ({"cache": {"accessModes": ["RWX"]}}, ["accessModes", "ReadWriteMany"]),
        ({"probes": {"startup": {"failureThreshold": 0}}}, ["startup", "failureThreshold"]),
        ({"gateway": {"parentRefs": [{"gateway": "public"}]}}, ["parentRefs", "gateway"]),
    ],
)
def test_misspelt_values_are_refused(values: dict[str, Any], names: list[str]) -> None:
    """The schema knows every name and what it takes, also inside of what Kubernetes takes as it
    stands.
    """
    said = refused(values)
    assert "don't meet the specifications of the schema" in said
    for name in names:
        assert name in said


def test_as_a_dependency() -> None:
    """Helm adds `global` to the values of a chart within a chart, and the schema lets it."""
    assert rendered({"global": {"region": "eu"}}).kinds == rendered().kinds
