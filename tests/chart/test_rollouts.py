"""The rollout's objects: what its pod may do, when it runs, and what outlives it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.rendering import FOLLOWING, NAMESPACE, in_ci, rendered


def test_rollouts_may_do_little() -> None:
    """The rollout's Role: its Deployment and its ConfigMap by name, reading pods, writing Events.
    No wildcard.
    """
    objects = rendered(FOLLOWING)
    rules = objects.one("Role", "-rollout")["rules"]
    granted = {
        (group, resource, verb): tuple(rule.get("resourceNames", ()))
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    ours, memory = ("shop-modelsync",), ("shop-modelsync-rollout",)
    assert granted == {
        **{("apps", "deployments", verb): ours for verb in ("get", "patch")},
        **{("", "configmaps", verb): memory for verb in ("get", "patch")},
        ("", "pods", "list"): (),
        ("", "events", "create"): (),
    }
    binding = objects.one("RoleBinding", "-rollout")
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "shop-modelsync-rollout", "namespace": NAMESPACE}
    ]
    assert objects.pod("rollout")["spec"]["serviceAccountName"] == "shop-modelsync-rollout"


def test_ones_own_roles_in_place_of_the_charts() -> None:
    """With rbac.create false there are the ServiceAccounts, and no Role; the pods are the same."""
    values = {**in_ci("full"), "rbac": {"create": False}}
    full, without = rendered(in_ci("full")), rendered(values)
    gone = set(full.names) - set(without.names)
    assert gone == {
        f"{kind}/everything-{name}"
        for kind in ("Role", "RoleBinding")
        for name in ("rollout", "dispatcher")
    }
    assert dict(full.pods()) == dict(without.pods())
    for component in ("rollout", "dispatcher"):
        assert without.one("ServiceAccount", f"-{component}")


def test_rollouts_have_an_identity_and_a_priority_of_their_own() -> None:
    """Annotations for a cloud's workload identity, and the priority class of their pods."""
    rollout = {
        "serviceAccount": {"annotations": {"example.com/role": "a"}},
        "priorityClassName": "high",
    }
    objects = rendered({**FOLLOWING, "rollout": rollout})
    account = objects.one("ServiceAccount", "-rollout")
    assert account["metadata"]["annotations"] == {"example.com/role": "a"}
    assert objects.pod("rollout")["spec"]["priorityClassName"] == "high"
    assert "priorityClassName" not in objects.pod()["spec"]


def test_rollouts_run_one_after_another() -> None:
    """The CronJob starts one job at a time, once, and gives it its time and some more."""
    spec = rendered(FOLLOWING).one("CronJob", "-rollout")["spec"]
    assert (spec["schedule"], spec["concurrencyPolicy"]) == ("*/5 * * * *", "Forbid")
    assert "suspend" not in spec  # what `kubectl patch` says of it stays at upgrades
    job = spec["jobTemplate"]["spec"]
    assert job["backoffLimit"] == 0
    assert job["activeDeadlineSeconds"] == 15 * 60 + 300
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert job["template"]["spec"]["containers"][0]["args"] == ["rollout"]


@pytest.mark.parametrize("values", [{"sync": {"schedule": "off"}}, {"rollout": {"suspend": True}}])
def test_rollouts_can_be_switched_off(values: dict[str, Any]) -> None:
    """The CronJob is then suspended, and jobs can still be made from it by hand."""
    assert rendered({**FOLLOWING, **values}).one("CronJob", "-rollout")["spec"]["suspend"] is True


def test_what_rollouts_remember_survives_upgrades() -> None:
    """The chart says nothing of the state's data, nor of the pinned revision: no upgrade sets them
    back.
    """
    objects = rendered(in_ci("full"))
    assert "data" not in objects.one("ConfigMap", "-rollout")
    assert "modelsync.dev/revision" not in objects.pod()["metadata"]["annotations"]


WITHOUT_FOLLOWER: list[dict[str, Any]] = [
    {"rollout": {"follower": {"enabled": False}}},
    {"sync": {"schedule": "off"}},
    {"rollout": {"suspend": True}},
]
"""Values with which nothing follows the repository all the time."""


@pytest.mark.parametrize("values", WITHOUT_FOLLOWER)
def test_the_first_commit_is_pinned_where_nothing_follows(values: dict[str, Any]) -> None:
    """By a Job of the install alone, which does what the CronJob's do, and tries again if nobody
    answers. Its name is that of the revision, because a Job cannot be changed.
    """
    objects = rendered({**FOLLOWING, **values})
    job = objects.one("Job", "-rollout-install-1")["spec"]
    every = objects.one("CronJob", "-rollout")["spec"]["jobTemplate"]["spec"]
    assert job["template"] == every["template"]
    assert {"podFailurePolicy", "backoffLimit"} == {
        name for name in job if job[name] != every.get(name)
    }
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [1, 2]


def test_the_follower_pins_the_first_commit() -> None:
    """Then there is no Job; nor where no repository is followed, or each pod follows by itself."""
    for values in ({}, FOLLOWING, {**FOLLOWING, "sync": {"mode": "pod", "schedule": "off"}}):
        assert "Job" not in rendered(values).kinds
