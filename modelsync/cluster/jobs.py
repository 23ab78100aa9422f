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
from modelsync.cluster.pods import ends, troubles
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
        self._jobs = self._api.path("batch/v1", "jobs")

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
        self._api.call(f"create a Job for {job}", Deadline(TIMEOUT), "POST", self._jobs, body=body)

    def all(self) -> list[JobStatus]:
        """All Jobs of the template that have not been removed yet."""
        found = self._api.call(
            "list the Jobs",
            Deadline(TIMEOUT),
            "GET",
            self._jobs,
            query={"labelSelector": f"{OWNER}={self.template}"},
        )
        return [
            JobStatus(
                id=one["metadata"].get("annotations", {}).get(ID, ""),
                name=one["metadata"]["name"],
                uid=one["metadata"]["uid"],
                phase=_phase(one),
            )
            for one in found["items"]
            if "deletionTimestamp" not in one["metadata"]
        ]

    def delete(self, name: str) -> None:
        """Remove a Job and end its pod; does nothing if it is gone."""
        self._api.call(
            f"delete the Job {name}",
            Deadline(TIMEOUT),
            "DELETE",
            f"{self._jobs}/{name}",
            query={"propagationPolicy": "Background"},
            absent=None,
        )

    def end_of(self, name: str) -> PodEnd:
        """How the pod of a Job has ended, or why it does not run."""
        found = self._api.call(
            "list the pods of a Job",
            Deadline(TIMEOUT),
            "GET",
            self._api.path("v1", "pods"),
            query={"labelSelector": f"batch.kubernetes.io/job-name={name}"},
        )
        pods = found["items"]
        ended = [one for pod in pods for one in ends(pod)]
        return PodEnd(
            code=ended[-1]["exitCode"] if ended else None,
            starved=any(one.get("reason") == "OOMKilled" for one in ended),
            why="; ".join(dict.fromkeys(one.text for pod in pods for one in troubles(pod))),
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
            "GET",
            self._api.path("batch/v1", "cronjobs", self.template),
        )
        made = found["spec"]["jobTemplate"]
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
                    "uid": found["metadata"]["uid"],
                }
            ],
        }
        return {"apiVersion": "batch/v1", "kind": "Job", **made}


def _phase(job: Any) -> Phase:
    """The phase of a Job."""
    status = job.get("status", {})
    ends = {"Complete", "Failed"}  # with FailureTarget its pod may still be ending
    conditions = status.get("conditions", ())
    if any(one["type"] in ends and one["status"] == "True" for one in conditions):
        return "ended"
    return "running" if status.get("ready") else "waiting"
