"""Jobs of Kubernetes that are made from the template of a CronJob, which itself never runs.

The chart renders the whole pod there, so what a Job gets is seen in one place, and nothing but its
arguments and some variables is added here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from modelsync.cluster.api import KubernetesApi
from modelsync.cluster.pods import containers, troubles
from modelsync.deadline import Deadline
from modelsync.errors import Conflict

TIMEOUT = 20.0
"""Seconds after which the API server counts as away."""

OWNER = "modelsync.dev/template"
"""The label of a Job that names its template."""

ID = "modelsync.dev/job"
"""The annotation that holds the id for which a Job was made."""

Phase = Literal["waiting", "running", "ended"]


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A Job: `waiting` until its pod runs. `uid` tells it from others of the same id."""

    id: str
    name: str
    uid: str
    phase: Phase


@dataclass(frozen=True, slots=True)
class PodEnd:
    """How a Job's pod has ended, or why it does not run; `code`: the exit code, None without one.

    `starved`: it was killed because it took more memory than it may.
    """

    code: int | None = None
    starved: bool = False
    why: str = ""


class JobsFromTemplate:
    """The Jobs of one template.

    All methods raise ClusterUnreachable if the API server is away, SettingsError if it refuses.
    """

    def __init__(self, template: str) -> None:
        self.template = template
        self._api = KubernetesApi()
        self._namespace = self._api.namespace

    def create(
        self,
        job: str,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        annotations: Mapping[str, str],
    ) -> None:
        """Make the Job of this id, unless there is one. One that has ended is replaced."""
        body = self._body(job, arguments, environ, annotations)
        try:
            self._create(job, body)
        except Conflict:
            ended = next(
                (one for one in self.all() if one.id == job and one.phase == "ended"), None
            )
            if ended:
                self.delete(ended.name)
                self._create(job, body)

    def _create(self, job: str, body: Mapping[str, Any]) -> None:
        self._api.call(
            f"create a Job for {job}",
            Deadline(TIMEOUT),
            lambda **options: self._api.batch.create_namespaced_job(
                self._namespace, body, **options
            ),
        )

    def all(self) -> list[JobStatus]:
        """All Jobs of the template that have not been removed yet."""
        found = self._api.call(
            "list the Jobs",
            Deadline(TIMEOUT),
            lambda **options: self._api.batch.list_namespaced_job(
                self._namespace, label_selector=f"{OWNER}={self.template}", **options
            ),
        )
        return [
            JobStatus(
                id=(one.metadata.annotations or {}).get(ID, ""),
                name=one.metadata.name,
                uid=one.metadata.uid,
                phase=_phase(one),
            )
            for one in found.items
            if not one.metadata.deletion_timestamp
        ]

    def delete(self, name: str) -> None:
        """Remove a Job and end its pod; does nothing if it is gone."""
        self._api.call(
            f"delete the Job {name}",
            Deadline(TIMEOUT),
            lambda **options: self._api.batch.delete_namespaced_job(
                name, self._namespace, propagation_policy="Background", **options
            ),
            absent=None,
        )

    def end_of(self, name: str) -> PodEnd:
        """How the pod of a Job has ended, or why it does not run."""
        found = self._api.call(
            "list the pods of a Job",
            Deadline(TIMEOUT),
            lambda **options: self._api.core.list_namespaced_pod(
                self._namespace, label_selector=f"batch.kubernetes.io/job-name={name}", **options
            ),
        )
        ends = [
            one.state.terminated
            for pod in found.items
            for one in containers(pod)
            if one.state and one.state.terminated
        ]
        return PodEnd(
            code=ends[-1].exit_code if ends else None,
            starved=any(one.reason == "OOMKilled" for one in ends),
            why="; ".join(dict.fromkeys(one.text for pod in found.items for one in troubles(pod))),
        )

    def _body(
        self,
        job: str,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        annotations: Mapping[str, str],
    ) -> dict[str, Any]:
        """The Job as the template has it, with what is given. It goes when the template does; a
        controller would count it among those that a schedule has made.
        """
        found = self._api.call(
            f"get the CronJob {self.template}",
            Deadline(TIMEOUT),
            lambda **options: self._api.batch.read_namespaced_cron_job(
                self.template, self._namespace, **options
            ),
        )
        made = self._api.as_json(found.spec.job_template)
        container = made["spec"]["template"]["spec"]["containers"][0]
        container["args"] = [*container.get("args", ()), *arguments]
        container["env"] = [
            *(one for one in container.get("env", ()) if one["name"] not in environ),
            *({"name": name, "value": value} for name, value in environ.items()),
        ]
        metadata = made.get("metadata") or {}
        made["metadata"] = {
            "name": f"{self.template}-{sha256(job.encode()).hexdigest()[:12]}",
            "labels": {**metadata.get("labels", {}), OWNER: self.template},
            "annotations": {**metadata.get("annotations", {}), **annotations, ID: job},
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "CronJob",
                    "name": self.template,
                    "uid": found.metadata.uid,
                }
            ],
        }
        return {"apiVersion": "batch/v1", "kind": "Job", **made}


def _phase(job: Any) -> Phase:
    """The phase of a V1Job."""
    ends = {"Complete", "Failed"}  # with FailureTarget its pod may still be ending
    if any(one.type in ends and one.status == "True" for one in job.status.conditions or ()):
        return "ended"
    return "running" if job.status.ready else "waiting"
