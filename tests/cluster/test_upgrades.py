"""What docs/kubernetes.md lets people do with kubectl, and `helm upgrade` after it.

Helm 4 applies on the server, which refuses a field that the chart sets and somebody else has
changed.
"""

from __future__ import annotations

import json

import pytest

from tests.cluster.shop import ANNOTATION, NAME, Shop
from tests.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

CRONJOB = f"{NAME}-rollout"
YEARLY = "0 0 1 1 *"
ALONE = {"follower": {"enabled": False}}


def test_upgrades_after_kubectl(store: Shop) -> None:
    """No documented command stands in the way of the next upgrade, and what it did stays; what does
    is taken back by force.
    """
    good = store.pin
    kubectl = store.namespace.kubectl

    store.upgrade(sync={"schedule": YEARLY}, rollout={"suspend": True, **ALONE})
    assert suspended(store)
    store.upgrade(rollout={"suspend": False})
    assert not suspended(store)

    kubectl("patch", "cronjob", CRONJOB, "--patch", '{"spec": {"suspend": true}}')
    upgraded(store)
    assert suspended(store)
    kubectl("patch", "cronjob", CRONJOB, "--patch", '{"spec": {"suspend": false}}')
    upgraded(store)
    assert not suspended(store)

    store.push(1)
    assert store.roll_out().code == 0
    kubectl("rollout", "undo", f"deployment/{NAME}")
    upgraded(store)
    assert store.pin == good

    newer = store.push(2)
    pin = {"spec": {"template": {"metadata": {"annotations": {ANNOTATION: newer}}}}}
    kubectl("patch", "deployment", NAME, "--patch", json.dumps(pin))
    upgraded(store)
    assert store.pin == newer
    assert store.roll_out().code == 0

    kubectl("scale", f"deployment/{NAME}", "--replicas=3")
    with pytest.raises(AssertionError, match="conflict"):
        upgraded(store)
    upgraded(store, "--force-conflicts")
    assert replicas(store) == 2
    upgraded(store, replicaCount=3)
    assert replicas(store) == 3
    upgraded(store, replicaCount=2)
    until(lambda: len(store.names()) == 2 and store.everywhere(newer), 90)
    store.upgrade("--force-conflicts", sync={"schedule": "off"})  # as the next test wants it


def upgraded(store: Shop, *arguments: str, **values: object) -> None:
    """Change a setting of the service, as most upgrades do, and other values."""
    generation = store.deployment["metadata"]["generation"]
    store.upgrade(*arguments, settings={"MODELSYNC_THREADS": 10 + generation % 1000}, **values)
    assert store.deployment["metadata"]["generation"] > generation


def suspended(store: Shop) -> bool:
    (found,) = store.namespace.get("cronjob", CRONJOB)
    return bool(found["spec"].get("suspend", False))


def replicas(store: Shop) -> int:
    return int(store.deployment["spec"]["replicas"])
