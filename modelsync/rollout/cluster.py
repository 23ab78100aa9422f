"""The Kubernetes objects of a rollout: one Deployment, one ConfigMap, Events.

Objects are read anew for each step: a rollout is one small GET a second, which needs only the right
to `get` one object.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

from modelsync.cluster.api import KubernetesApi, Method
from modelsync.deadline import Deadline
from modelsync.errors import ClusterUnreachable, Conflict, SettingsError
from modelsync.rollout import pods
from modelsync.rollout.decision import Observed, RolloutState
from modelsync.rollout.pods import Complaint
from modelsync.settings import NO_REVISION, Revision, Rollout

ANNOTATION = "modelsync.dev/revision"
"""The annotation of the pod template with the commit; pods read it as MODELSYNC_GIT_REVISION."""

COMPONENT = "modelsync-rollout"

log = logging.getLogger(__name__)


class Cluster:
    """One Deployment and the state of its rollouts; each call ends at the `deadline`.

    All methods raise ClusterUnreachable if the API server does not answer until the deadline,
    and SettingsError if it refuses.
    """

    def __init__(self, settings: Rollout, deadline: Deadline) -> None:
        if not settings.deployment:
            raise SettingsError(
                "MODELSYNC_ROLLOUT_DEPLOYMENT is not set: the Deployment to roll out to"
            )
        self._api = KubernetesApi(settings.namespace)
        self._deployment = settings.deployment
        self._state = settings.state or f"{settings.deployment}-rollout"
        self._deployment_path = self._api.path("apps/v1", "deployments", self._deployment)
        self._state_path = self._api.path("v1", "configmaps", self._state)
        self.deadline = deadline
        self._uid = ""
        self._selector: dict[str, str] = {}

    def deployment(self) -> Observed:
        """The Deployment as it is now."""
        what = f"get the Deployment {self._deployment}"
        found = self._call(what, "GET", self._deployment_path)
        metadata, spec, status = found["metadata"], found["spec"], found.get("status", {})
        self._uid = metadata["uid"]
        self._selector = spec["selector"].get("matchLabels", {})
        progressing = [one for one in status.get("conditions", ()) if one["type"] == "Progressing"]
        return Observed(
            pin=Revision.parse(_annotation(spec["template"])),
            version=metadata["resourceVersion"],
            wanted=spec.get("replicas", 1),
            total=status.get("replicas", 0),
            updated=status.get("updatedReplicas", 0),
            available=status.get("availableReplicas", 0),
            observed=status.get("observedGeneration", 0) >= metadata.get("generation", 0),
            timed_out=any(one.get("reason") == "ProgressDeadlineExceeded" for one in progressing),
            paused=spec.get("paused", False),
            patience=spec.get("progressDeadlineSeconds", 0),  # the API server fills it in
        )

    def pin(self, seen: Observed, revision: Revision) -> None:
        """Pin the pods to a revision; an empty one removes the pin.

        Raises Conflict if the Deployment is no longer as `seen`.
        """
        text = str(revision) or None
        cause = f"modelsync rollout: {text[:12] if text else 'no commit pinned'}"
        body = {
            "metadata": {
                "resourceVersion": seen.version,
                "annotations": {"kubernetes.io/change-cause": cause},
            },
            "spec": {"template": {"metadata": {"annotations": {ANNOTATION: text}}}},
        }
        self._call(f"patch the Deployment {self._deployment}", "PATCH", self._deployment_path, body)

    def state(self) -> RolloutState:
        """The state that earlier runs have recorded."""
        found = self._call(f"get the ConfigMap {self._state}", "GET", self._state_path)
        data = found.get("data", {})
        known = {item.name: data[item.name] for item in fields(RolloutState) if data.get(item.name)}
        good, tries = Revision.parse(data.get("good", "")), data.get("tries", "")
        return RolloutState(
            **{
                **known,
                # An older version took over what a person had pinned, whatever it was.
                "good": good if good.valid else NO_REVISION,
                "tries": int(tries) if tries.isdecimal() else 0,
                "version": found["metadata"]["resourceVersion"],
            }
        )

    def write(self, state: RolloutState) -> None:
        """Replace the state. Raises Conflict if its version is no longer the last one."""
        state = replace(state, time=datetime.now(UTC).isoformat(timespec="seconds"))
        values = {
            item.name: str(getattr(state, item.name) or "")
            for item in fields(RolloutState)
            if item.name != "version"
        }
        body = {"metadata": {"resourceVersion": state.version}, "data": values}
        self._call(f"patch the ConfigMap {self._state}", "PATCH", self._state_path, body)

    def record_event(
        self, kind: Literal["Normal", "Warning"], reason: str, message: str, state: RolloutState
    ) -> None:
        """Record an Event of the Deployment.

        Its name is made from the step and the version of the state, so a repeated one is no second
        Event.
        """
        digest = sha256(f"{reason} {message[:60]} {state.version}".encode()).hexdigest()[:16]
        now, namespace = datetime.now(UTC).isoformat(timespec="seconds"), self._api.namespace
        body = {
            "metadata": {"name": f"{self._deployment}.{digest}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": self._deployment,
                "namespace": namespace,
                "uid": self._uid,
            },
            "type": kind,
            "reason": reason,
            "message": message if len(message) <= 1000 else f"{message[:1000]}...",
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": COMPONENT,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self._call("create an Event", "POST", self._api.path("v1", "events"), body)
        except Conflict:
            pass  # recorded before
        except SettingsError as error:  # not allowed to: the log and the state have it, too
            log.warning("%s", error)

    def diagnose(self, seen: Observed) -> list[Complaint]:
        """The complaints of the pods that have the pin; empty if all are ready, or silent."""
        try:
            its = self.pods(seen.pin)
        except (SettingsError, ClusterUnreachable) as error:
            return [Complaint(f"its pods cannot be asked: {error}", passing=True)]
        return pods.diagnose(its, datetime.now(UTC), seen.patience)

    def pods(self, pin: Revision | None = None) -> list[Any]:
        """The pods that are not about to end, of those of the Deployment as it was last seen; only
        those that have the pin, if one is given.
        """
        labels = ",".join(f"{name}={value}" for name, value in self._selector.items())
        query = {"labelSelector": labels}
        found = self._call("list the pods", "GET", self._api.path("v1", "pods"), query=query)
        living = [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]
        return [pod for pod in living if pin is None or _annotation(pod) == str(pin)]

    def _call(
        self,
        what: str,
        method: Method,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        if method != "GET":
            query = {"fieldManager": COMPONENT}
        return self._api.call(what, self.deadline, method, path, body=body, query=query)


def _annotation(one: Any) -> str:
    """The revision of a pod, or of a template of pods."""
    found: str = (one["metadata"].get("annotations") or {}).get(ANNOTATION, "")
    return found
