"""An API server with one Deployment and its controller, one ConfigMap, pods and Events: as much as a rollout uses.

with ApiServer(tmp_path) as api:
    api.fate["<commit>"] = "stuck"
    ... KUBECONFIG=api.kubeconfig

It is for what a real cluster cannot be made to do on demand: to fail at a chosen call. tests/cluster has the real one.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
Fate = Literal["ready", "stuck", "slow"]
Fault = Literal["", "reset", "hang", "403", "500"]

ANNOTATION = "modelsync.dev/revision"
_APPS = "/apis/apps/v1/namespaces/models/deployments/modelsync"
_STATE = "/api/v1/namespaces/models/configmaps/modelsync-rollout"
_EVENTS = "/api/v1/namespaces/models/events"
_PODS = "/api/v1/namespaces/models/pods"


class ApiServer:
    """`fate` tells by commit what becomes of its pods (ready, unless told); `calls` holds what was asked.

    `fault` misbehaves from the next call on. `before` and `after` are called with the method and the path, `after` when
    the change has been made and the answer has not been sent.
    """

    def __init__(self, folder: Path) -> None:
        self.kubeconfig = folder / "kubeconfig"
        self.fate: dict[str, Fate] = {}
        self.fault: Fault = ""
        self.calls: list[tuple[str, str]] = []
        self.events: list[Json] = []
        self.pods: list[Json] = []
        self.pinned: list[str] = []
        self.before: Callable[[str, str], None] = lambda method, path: None
        self.after: Callable[[str, str], None] = lambda method, path: None
        self._closing = threading.Event()
        self._gone = False
        self._lock = threading.Lock()
        self._looks = 0
        self._version = 100
        self.deployment: Json = {
            "metadata": {"name": "modelsync", "namespace": "models", "uid": "u-1", "generation": 1},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app.kubernetes.io/name": "modelsync"}},
                "template": {"metadata": {"labels": {"app.kubernetes.io/name": "modelsync"}}, "spec": {"containers": [
                    {"name": "modelsync", "image": "modelsync"}
                ]}},
            },
            "status": {},
        }  # fmt: skip
        self.state: Json = {"metadata": {"name": "modelsync-rollout", "namespace": "models"}, "data": {}}
        for item in (self.deployment, self.state):
            self._touch(item)
        self._control(settled=True)

    # --- what a test looks at, and does beside the job ---

    @property
    def pin(self) -> str:
        """What the pods are pinned to."""
        found: Json = self.deployment["spec"]["template"]["metadata"].get("annotations") or {}
        return str(found.get(ANNOTATION, ""))

    @property
    def data(self) -> dict[str, str]:
        """The state, without what is empty."""
        return {name: value for name, value in self.state["data"].items() if value}

    def told(self) -> list[str]:
        """The reasons of all Events, in order."""
        return [event["reason"] for event in self.events]

    def writes(self) -> list[str]:
        """The paths of all calls that wrote, Events apart."""
        return [path for method, path in self.calls if method == "PATCH"]

    def pin_by_hand(self, text: str | None, *, settled: bool = True) -> None:
        """Do what `kubectl rollout undo` or `kubectl annotate` does."""
        with self._lock:
            _merge(self.deployment, {"spec": {"template": {"metadata": {"annotations": {ANNOTATION: text}}}}})
            self.deployment["metadata"]["generation"] += 1
            self._touch(self.deployment)
            self._looks = 0
            if settled:
                self._control(settled=True)

    def add_pod(self, pin: str, **status: Any) -> None:
        """A pod of the Deployment, with a status as the API has it."""
        template = copy.deepcopy(self.deployment["spec"]["template"])
        name = f"modelsync-{len(self.pods)}"
        metadata = {**template["metadata"], "name": name, "namespace": "models", "annotations": {ANNOTATION: pin}}
        self.pods.append({"metadata": metadata, "spec": template["spec"], "status": status})

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    # --- running ---

    def __enter__(self) -> Self:
        self._start(("127.0.0.1", 0))
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "models"}}],
        }))  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._stop()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nobody listens meanwhile."""
        address = self._server.server_address
        self._gone = True
        self._stop()
        try:
            yield
        finally:
            self._gone = False
            self._start(address)  # type: ignore[arg-type]

    def _start(self, address: tuple[str, int]) -> None:
        owner = self

        class Handler(_Handler):
            api = owner

        self._server = ThreadingHTTPServer(address, Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def _stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # --- the API ---

    def answer(self, method: str, path: str, body: Json) -> tuple[int, Json]:
        """Do what is asked, and say how it went."""
        with self._lock:
            match method, path:
                case "GET", str(path) if path == _APPS:
                    self._control()
                    return 200, {"apiVersion": "apps/v1", "kind": "Deployment", **copy.deepcopy(self.deployment)}
                case "GET", str(path) if path == _STATE:
                    return 200, {"apiVersion": "v1", "kind": "ConfigMap", **copy.deepcopy(self.state)}
                case "GET", str(path) if path == _PODS:
                    return 200, {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": self.pods}
                case "PATCH", str(path) if path in (_APPS, _STATE):
                    return self._patch(self.deployment if path == _APPS else self.state, body)
                case "POST", str(path) if path == _EVENTS:
                    if any(event["metadata"]["name"] == body["metadata"]["name"] for event in self.events):
                        return 409, _status(409, "AlreadyExists")
                    self.events.append(body)
                    return 201, body
        return 404, _status(404, "NotFound")

    def _patch(self, item: Json, body: Json) -> tuple[int, Json]:
        given = body.get("metadata", {}).pop("resourceVersion", None)
        if given and given != item["metadata"]["resourceVersion"]:
            return 409, _status(409, "Conflict")
        before = copy.deepcopy(item)
        _merge(item, body)
        if item != before:
            self._touch(item)
        if item.get("spec") != before.get("spec"):
            item["metadata"]["generation"] += 1
            self._looks = 0
            self.pinned.append(self.pin)
        return 200, copy.deepcopy(item)

    def _control(self, *, settled: bool = False) -> None:
        """The controller: one step for each time that somebody looks. First it has not seen the change, then it has."""
        wanted = self.deployment["spec"]["replicas"]
        before = copy.deepcopy(self.deployment["status"])
        self._looks += 1
        if not settled and self._looks == 1:
            return  # what the status says is still about the change before
        status = {"observedGeneration": self.deployment["metadata"]["generation"]}
        fate = self.fate.get(self.pin[:40], "ready")
        under_way = {"replicas": wanted + 1, "updatedReplicas": 1, "availableReplicas": wanted}
        reason = "ReplicaSetUpdated"
        if fate == "ready" and (settled or self._looks > 2):
            under_way = dict.fromkeys(under_way, wanted)
            reason = "NewReplicaSetAvailable"
        elif fate == "stuck" and self._looks > 2:
            reason = "ProgressDeadlineExceeded"
        progressing = {"type": "Progressing", "status": "True", "reason": reason}
        self.deployment["status"] = {**status, **under_way, "conditions": [progressing]}
        if self.deployment["status"] != before:
            self._touch(self.deployment)

    def _touch(self, item: Json) -> None:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)


class _Handler(BaseHTTPRequestHandler):
    api: ApiServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        api, path = self.api, urlsplit(self.path).path
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        assert "watch" not in parse_qs(urlsplit(self.path).query)
        if api._gone:  # a connection that was kept open
            self.close_connection = True
            return
        api.calls.append((self.command, path))
        api.before(self.command, path)
        match api.fault:
            case "reset":
                self.close_connection = True
                return
            case "hang":
                api._closing.wait(60)
                self.close_connection = True
                return
            case "403" | "500":
                self._answer(int(api.fault), _status(int(api.fault), "Fault"))
                return
        status, document = api.answer(self.command, path, body)
        api.after(self.command, path)
        try:
            self._answer(status, document)
        except OSError:
            self.close_connection = True  # whoever asked is dead

    def _answer(self, status: int, document: Json) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _status(code: int, reason: str) -> Json:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}


def _merge(item: Json, change: Json) -> None:
    """A merge patch: null removes."""
    for name, value in change.items():
        if value is None:
            item.pop(name, None)
        elif isinstance(value, dict):
            if not isinstance(item.get(name), dict):
                item[name] = {}
            _merge(item[name], value)
        else:
            item[name] = value
