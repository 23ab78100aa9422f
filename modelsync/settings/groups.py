"""Every setting: name, default, meaning. `env.example` and the README's tables are generated from
these classes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from modelsync.settings import parsers
from modelsync.settings.revision import Revision
from modelsync.settings.secret import Secret

PREFIX = "MODELSYNC_"

OnBrokenModel = Literal["previous", "drop", "reject"]
LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]


def _setting(
    name: str, default: Any, parse: Callable[[str], Any], doc: str, *, shown: str | None = None
) -> Any:
    return field(
        default=default, metadata={"name": name, "parse": parse, "doc": doc, "shown": shown}
    )


def _secret(name: str, doc: str) -> Any:
    return field(default=Secret(), metadata={"name": name, "secret": True, "doc": doc})


@dataclass(frozen=True, slots=True)
class Server:
    """The listener and its processes."""

    base_url: str = _setting(
        "baseUrl",
        "models",
        parsers.base_url,
        "URL prefix of every route, without slashes around it; may be empty",
    )
    host: str = _setting(
        "MODELSYNC_HOST", "127.0.0.1", parsers.text, "address to listen on (the image sets 0.0.0.0)"
    )
    port: int = _setting(
        "MODELSYNC_PORT", 8080, parsers.integer(0, 65535), "port to listen on; 0 takes a free one"
    )
    workers: int = _setting(
        "MODELSYNC_WORKERS",
        os.cpu_count() or 1,
        parsers.integer(1, 1024),
        "worker processes",
        shown="number of cores",
    )
    threads: int = _setting(
        "MODELSYNC_THREADS",
        32,
        parsers.integer(1, 1024),
        "threads per worker for models that are not answered at once",
    )
    preload: bool = _setting(
        "MODELSYNC_PRELOAD",
        True,
        parsers.boolean,
        "load the models once, before the workers are forked, so that they share memory",
    )
    predict_timeout: float = _setting(
        "MODELSYNC_PREDICT_TIMEOUT",
        30.0,
        parsers.seconds,
        "time one prediction may take; after it the answer is 504",
        shown="30s",
    )
    max_body: int = _setting(
        "MODELSYNC_MAX_BODY",
        10 * 1024**2,
        parsers.size,
        "size of the largest request body; over it the answer is 413",
        shown="10MiB",
    )
    max_queue: int = _setting(
        "MODELSYNC_MAX_QUEUE",
        1000,
        parsers.integer(1, 1_000_000),
        "predictions that may wait per worker; over it the answer is 503",
    )
    drain_timeout: float = _setting(
        "MODELSYNC_DRAIN_TIMEOUT",
        30.0,
        parsers.seconds,
        "time requests in flight get when a release is replaced or the service stops",
        shown="30s",
    )


@dataclass(frozen=True, slots=True)
class Git:
    """The repository that is followed. Without `gitPath` the service is standalone and serves a
    local folder.
    """

    path: str = _setting(
        "gitPath", "", parsers.text, "URL of the repository, https://... or ssh; unset: standalone"
    )
    user: str = _setting(
        "usergit",
        "",
        parsers.text,
        "user for HTTPS (with a token: any name, or the one your host asks for)",
    )
    password: Secret = _secret("gitpassword", "password or access token for HTTPS")
    password_file: Path | None = _setting(
        "MODELSYNC_GIT_PASSWORD_FILE",
        None,
        parsers.path,
        "file that holds it instead; read again at each sync",
    )
    ref: str = _setting(
        "MODELSYNC_GIT_REF", "HEAD", parsers.text, "branch, tag or commit to follow"
    )
    revision: Revision = _setting(
        "MODELSYNC_GIT_REVISION",
        Revision(),
        Revision.parse,
        "full commit id to serve instead of what the ref points to; set by `modelsync rollout`",
    )
    proven: Revision = _setting(
        "MODELSYNC_GIT_PROVEN",
        Revision(),
        Revision.parse,
        "the last revision that became ready in every pod; one that is not is served only if no more of it is broken "
        "than `modelsync rollout` found",
    )
    subdir: str = _setting(
        "MODELSYNC_GIT_SUBDIR",
        "",
        parsers.subdirectory,
        "folder of the repository that holds the model folders",
    )
    ssh_key_file: Path | None = _setting(
        "MODELSYNC_GIT_SSH_KEY_FILE", None, parsers.path, "private key for ssh"
    )
    known_hosts_file: Path | None = _setting(
        "MODELSYNC_GIT_KNOWN_HOSTS_FILE",
        None,
        parsers.path,
        "host keys for ssh; an unknown host is never trusted",
    )
    protocols: frozenset[str] = _setting(
        "MODELSYNC_GIT_PROTOCOLS",
        frozenset({"https", "ssh"}),
        parsers.protocols,
        "allowed transports; http and file only if named here",
        shown="https,ssh",
    )
    cache: Path | None = _setting(
        "MODELSYNC_GIT_CACHE",
        None,
        parsers.path,
        "folder, shared by all pods, with what was fetched last: to start from while the repository cannot be reached",
    )
    fallback: bool = _setting(
        "MODELSYNC_GIT_FALLBACK",
        False,
        parsers.boolean,
        "serve the folder MODELSYNC_MODELS while neither repository nor cache can be reached and nothing else serves",
    )

    @property
    def on_probation(self) -> bool:
        """Whether this is a pod of a rollout whose commit has not become ready everywhere yet."""
        return bool(self.revision) and self.revision.commit != self.proven.commit


@dataclass(frozen=True, slots=True)
class Sync:
    """When to look for a new commit, and what to do with one that is broken."""

    cron: str = _setting(
        "MODELSYNC_SYNC_CRON",
        "0 2 * * *",
        parsers.text,
        'when to sync: cron, local time; or "@every 5m"; or "off"',
    )
    timeout: float = _setting(
        "MODELSYNC_SYNC_TIMEOUT",
        120.0,
        parsers.seconds,
        "time one whole sync may take, retries included",
        shown="120s",
    )
    jitter: float = _setting(
        "MODELSYNC_SYNC_JITTER",
        60.0,
        parsers.seconds,
        "a scheduled sync starts up to this much later, so that replicas do not start at once",
        shown="60s",
    )
    on_broken_model: OnBrokenModel = _setting(
        "MODELSYNC_ON_BROKEN_MODEL",
        "previous",
        parsers.choice(OnBrokenModel),
        "a broken model: goes on as `previous` version, is `drop`ped, or the whole commit is `reject`ed",
    )
    check_timeout: float = _setting(
        "MODELSYNC_CHECK_TIMEOUT",
        60.0,
        parsers.seconds,
        "time one model may take to load and run its examples in the check",
        shown="60s",
    )
    keep_releases: int = _setting(
        "MODELSYNC_KEEP_RELEASES",
        3,
        parsers.integer(2, 1000),
        "releases kept on disk, the current one included",
    )


@dataclass(frozen=True, slots=True)
class Access:
    """Bearer tokens, one or several separated by commas (for rotation). Without predict tokens
    predicting is open.
    """

    predict_tokens: Secret = _secret(
        "MODELSYNC_PREDICT_TOKENS", "tokens that may predict; unset: anybody may"
    )
    train_tokens: Secret = _secret(
        "MODELSYNC_TRAIN_TOKENS", "tokens that may train; unset: nobody may"
    )
    admin_tokens: Secret = _secret(
        "MODELSYNC_ADMIN_TOKENS", "tokens that may do everything, sync included; unset: nobody may"
    )
    webhook_secret: Secret = _secret(
        "MODELSYNC_WEBHOOK_SECRET",
        "secret of the webhook of GitHub, GitLab or Gitea; unset: refused",
    )


@dataclass(frozen=True, slots=True)
class State:
    """Where releases and status live."""

    home: Path = _setting(
        "MODELSYNC_HOME", Path(".modelsync"), lambda raw: Path(raw).expanduser(), "state directory"
    )
    models: Path = _setting(
        "MODELSYNC_MODELS",
        Path("models_serve"),
        lambda raw: Path(raw).expanduser(),
        "folder served when standalone",
    )


@dataclass(frozen=True, slots=True)
class Rollout:
    """`modelsync rollout`, which brings a new commit to all pods of a Kubernetes Deployment."""

    deployment: str = _setting(
        "MODELSYNC_ROLLOUT_DEPLOYMENT", "", parsers.name, "name of the Deployment"
    )
    namespace: str = _setting(
        "MODELSYNC_ROLLOUT_NAMESPACE", "", parsers.name, "its namespace", shown="the pod's own"
    )
    state: str = _setting(
        "MODELSYNC_ROLLOUT_STATE",
        "",
        parsers.name,
        "name of the ConfigMap that holds what was rolled out and what was rejected",
        shown="the Deployment's name with `-rollout`",
    )
    timeout: float = _setting(
        "MODELSYNC_ROLLOUT_TIMEOUT",
        900.0,
        parsers.seconds,
        "time one run may take; the next one goes on where it ended",
        shown="15m",
    )


@dataclass(frozen=True, slots=True)
class Logs:
    """Logging goes to standard error, one record a line."""

    format: LogFormat = _setting(
        "MODELSYNC_LOG_FORMAT",
        "auto",
        parsers.choice(LogFormat),
        "json or text; auto: text on a terminal, else json",
    )
    level: LogLevel = _setting(
        "MODELSYNC_LOG_LEVEL", "info", parsers.choice(LogLevel), "debug, info, warning or error"
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All groups. `load` reads them; nothing else in the project looks at the environment."""

    server: Server = field(default_factory=Server)
    git: Git = field(default_factory=Git)
    sync: Sync = field(default_factory=Sync)
    access: Access = field(default_factory=Access)
    state: State = field(default_factory=State)
    rollout: Rollout = field(default_factory=Rollout)
    logs: Logs = field(default_factory=Logs)

    @property
    def standalone(self) -> bool:
        """Whether a local folder is served instead of a repository."""
        return not self.git.path


GROUPS: dict[str, type[Any]] = {
    "server": Server, "git": Git, "sync": Sync, "access": Access, "state": State,
    "rollout": Rollout, "logs": Logs,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting as documentation and generated files show it."""

    group: str
    name: str
    default: str
    doc: str
    secret: bool


def entries() -> Iterator[Entry]:
    """Every setting in order of definition, secrets followed by their `_FILE` twin."""
    for group, kind in GROUPS.items():
        for item in fields(kind):
            secret = bool(item.metadata.get("secret"))
            shown = item.metadata.get("shown")
            default = (
                shown
                if shown is not None
                else ""
                if secret or item.default is None
                else str(item.default)
            )
            yield Entry(group, item.metadata["name"], default, item.metadata["doc"], secret)
            if twin := file_twin(item):
                yield Entry(
                    group,
                    twin,
                    "",
                    f"file that holds {item.metadata['name']} instead; read again at each use",
                    False,
                )


def file_twin(item: Field[Any]) -> str | None:
    """The name of a secret's `_FILE` variable; `gitpassword` has a setting of its own for it."""
    name: str = item.metadata["name"]
    return f"{name}_FILE" if item.metadata.get("secret") and name.startswith(PREFIX) else None
