"""Every setting: name, default, meaning. The only module that reads the environment.

`env.example` and the table in the README are generated from these dataclasses (`make generated`). Four names are those
of existing installations (`baseUrl`, `gitPath`, `usergit`, `gitpassword`); all others start with `MODELSYNC_`, and an
unknown name with that prefix is an error, because a misspelt setting that is silently ignored is found in production.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import orjson

from modelsync.errors import SettingsError

PREFIX = "MODELSYNC_"

# Set by the supervisor for its own children; not for users, so in no table.
INTERNAL = {"MODELSYNC_SECRETS_FD"}

OnBrokenModel = Literal["previous", "drop", "reject"]
LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]
GitProtocol = Literal["https", "ssh", "http", "file"]


class Secret:
    """A secret given as a value or as a file; a file is read at each use, so a rotated one needs no restart."""

    __slots__ = ("_file", "_value")

    def __init__(self, value: str = "", file: Path | None = None) -> None:
        self._value = value
        self._file = file

    def read(self) -> str:
        """The secret without surrounding white space; empty where none is set.

        Raises SettingsError where the file cannot be read.
        """
        if self._file is None:
            return self._value
        try:
            return self._file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot read the secret file {self._file}: {type(error).__name__}") from None

    def __bool__(self) -> bool:
        return bool(self._value or self._file)

    def __repr__(self) -> str:
        return "Secret(***)" if self else "Secret()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self._value, self._file) == (other._value, other._file)

    def __hash__(self) -> int:
        return hash((self._value, self._file))


# --- parsers: text to value, ValueError with the reason ---------------------------------------------------------------


def _text(raw: str) -> str:
    return raw.strip()


def _path(raw: str) -> Path | None:
    return Path(raw).expanduser() if raw.strip() else None


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        value = int(raw)
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}")
        return value

    return parse


_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(raw: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|)\s*", raw)
    if not match or not (value := float(match[1]) * _SECONDS[match[2]]):
        raise ValueError("must be a positive time such as 30, 30s, 500ms or 2m")
    return value


_BYTES = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def _bytes(raw: str) -> int:
    match = re.fullmatch(r"\s*(\d+)\s*(KiB|MiB|GiB|)\s*", raw)
    if not match or not (value := int(match[1]) * _BYTES[match[2]]):
        raise ValueError("must be a positive size such as 10MiB or 65536")
    return value


def _boolean(raw: str) -> bool:
    match raw.strip().lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off":
            return False
    raise ValueError("must be true or false")


def _choice(kind: Any) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw.strip() not in get_args(kind):
            raise ValueError(f"must be one of {', '.join(get_args(kind))}")
        return raw.strip()

    return parse


def _protocols(raw: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in raw.split(",") if name.strip())
    if not names or names - set(get_args(GitProtocol)):
        raise ValueError(f"must be a comma-separated list of {', '.join(get_args(GitProtocol))}")
    return names


def _base_url(raw: str) -> str:
    base = raw.strip().strip("/")
    odd = base and not re.fullmatch(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*", base)
    if odd or base in {"livez", "readyz", "metrics"}:
        raise ValueError("must be a URL path such as models or api/models, or empty")
    return base


def _subdirectory(raw: str) -> str:
    folder = raw.strip().strip("/")
    if any(part in {"", ".", ".."} for part in folder.split("/")) and folder:
        raise ValueError("must be a relative folder of the repository, without ..")
    return folder


def _setting(name: str, default: Any, parse: Callable[[str], Any], doc: str, *, shown: str | None = None) -> Any:
    return field(default=default, metadata={"name": name, "parse": parse, "doc": doc, "shown": shown})


def _secret(name: str, doc: str) -> Any:
    return field(default=Secret(), metadata={"name": name, "secret": True, "doc": doc})


# --- the settings -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    """The listener and its processes."""

    base_url: str = _setting(
        "baseUrl", "models", _base_url, "URL prefix of every route, without slashes around it; may be empty"
    )
    host: str = _setting("MODELSYNC_HOST", "127.0.0.1", _text, "address to listen on (the image sets 0.0.0.0)")
    port: int = _setting("MODELSYNC_PORT", 8080, _integer(0, 65535), "port to listen on; 0 takes a free one")
    workers: int = _setting(
        "MODELSYNC_WORKERS", os.cpu_count() or 1, _integer(1, 1024), "worker processes", shown="number of cores"
    )
    threads: int = _setting(
        "MODELSYNC_THREADS", 32, _integer(1, 1024), "threads per worker for models that are not answered at once"
    )
    preload: bool = _setting(
        "MODELSYNC_PRELOAD",
        True,
        _boolean,
        "load the models once, before the workers are forked, so that they share memory",
    )
    predict_timeout: float = _setting(
        "MODELSYNC_PREDICT_TIMEOUT",
        30.0,
        _seconds,
        "time one prediction may take; after it the answer is 504",
        shown="30s",
    )
    max_body: int = _setting(
        "MODELSYNC_MAX_BODY",
        10 * 1024**2,
        _bytes,
        "size of the largest request body; over it the answer is 413",
        shown="10MiB",
    )
    max_queue: int = _setting(
        "MODELSYNC_MAX_QUEUE",
        1000,
        _integer(1, 1_000_000),
        "predictions that may wait per worker; over it the answer is 503",
    )
    drain_timeout: float = _setting(
        "MODELSYNC_DRAIN_TIMEOUT",
        30.0,
        _seconds,
        "time requests in flight get when a release is replaced or the service stops",
        shown="30s",
    )


@dataclass(frozen=True, slots=True)
class Git:
    """The repository that is followed. Without `gitPath` the service is standalone and serves a local folder."""

    path: str = _setting("gitPath", "", _text, "URL of the repository, https://... or ssh; unset: standalone")
    user: str = _setting("usergit", "", _text, "user for HTTPS (with a token: any name, or the one your host asks for)")
    password: Secret = _secret("gitpassword", "password or access token for HTTPS")
    password_file: Path | None = _setting(
        "MODELSYNC_GIT_PASSWORD_FILE", None, _path, "file that holds it instead; read again at each sync"
    )
    ref: str = _setting("MODELSYNC_GIT_REF", "HEAD", _text, "branch, tag or commit to follow")
    subdir: str = _setting(
        "MODELSYNC_GIT_SUBDIR", "", _subdirectory, "folder of the repository that holds the model folders"
    )
    ssh_key_file: Path | None = _setting("MODELSYNC_GIT_SSH_KEY_FILE", None, _path, "private key for ssh")
    known_hosts_file: Path | None = _setting(
        "MODELSYNC_GIT_KNOWN_HOSTS_FILE", None, _path, "host keys for ssh; an unknown host is never trusted"
    )
    protocols: frozenset[str] = _setting(
        "MODELSYNC_GIT_PROTOCOLS",
        frozenset({"https", "ssh"}),
        _protocols,
        "allowed transports; http and file only if named here",
        shown="https,ssh",
    )


@dataclass(frozen=True, slots=True)
class Sync:
    """When to look for a new commit, and what to do with one that is broken."""

    cron: str = _setting(
        "MODELSYNC_SYNC_CRON", "0 2 * * *", _text, 'when to sync: cron, local time; or "@every 5m"; or "off"'
    )
    timeout: float = _setting(
        "MODELSYNC_SYNC_TIMEOUT", 120.0, _seconds, "time one whole sync may take, retries included", shown="120s"
    )
    jitter: float = _setting(
        "MODELSYNC_SYNC_JITTER",
        60.0,
        _seconds,
        "a scheduled sync starts up to this much later, so that replicas do not start at once",
        shown="60s",
    )
    on_broken_model: OnBrokenModel = _setting(
        "MODELSYNC_ON_BROKEN_MODEL",
        "previous",
        _choice(OnBrokenModel),
        "a broken model: goes on as `previous` version, is `drop`ped, or the whole commit is `reject`ed",
    )
    check_timeout: float = _setting(
        "MODELSYNC_CHECK_TIMEOUT",
        60.0,
        _seconds,
        "time one model may take to load and run its examples in the check",
        shown="60s",
    )
    keep_releases: int = _setting(
        "MODELSYNC_KEEP_RELEASES", 3, _integer(2, 1000), "releases kept on disk, the current one included"
    )


@dataclass(frozen=True, slots=True)
class Access:
    """Bearer tokens, one or several separated by commas (for rotation). Without predict tokens predicting is open."""

    predict_tokens: Secret = _secret("MODELSYNC_PREDICT_TOKENS", "tokens that may predict; unset: anybody may")
    train_tokens: Secret = _secret("MODELSYNC_TRAIN_TOKENS", "tokens that may train; unset: nobody may")
    admin_tokens: Secret = _secret(
        "MODELSYNC_ADMIN_TOKENS", "tokens that may do everything, sync included; unset: nobody may"
    )
    webhook_secret: Secret = _secret(
        "MODELSYNC_WEBHOOK_SECRET", "secret of the webhook of GitHub, GitLab or Gitea; unset: refused"
    )


@dataclass(frozen=True, slots=True)
class State:
    """Where releases and status live."""

    home: Path = _setting("MODELSYNC_HOME", Path(".modelsync"), lambda raw: Path(raw).expanduser(), "state directory")
    models: Path = _setting(
        "MODELSYNC_MODELS", Path("models_serve"), lambda raw: Path(raw).expanduser(), "folder served when standalone"
    )


@dataclass(frozen=True, slots=True)
class Logs:
    """Logging goes to standard error, one record a line."""

    format: LogFormat = _setting(
        "MODELSYNC_LOG_FORMAT", "auto", _choice(LogFormat), "json or text; auto: text on a terminal, else json"
    )
    level: LogLevel = _setting("MODELSYNC_LOG_LEVEL", "info", _choice(LogLevel), "debug, info, warning or error")


@dataclass(frozen=True, slots=True)
class Settings:
    """All groups. `load` reads them; nothing else in the project looks at the environment."""

    server: Server = field(default_factory=Server)
    git: Git = field(default_factory=Git)
    sync: Sync = field(default_factory=Sync)
    access: Access = field(default_factory=Access)
    state: State = field(default_factory=State)
    logs: Logs = field(default_factory=Logs)

    @property
    def standalone(self) -> bool:
        """Whether a local folder is served instead of a repository."""
        return not self.git.path


GROUPS: dict[str, type[Any]] = {
    "server": Server, "git": Git, "sync": Sync, "access": Access, "state": State, "logs": Logs,
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
            default = shown if shown is not None else "" if secret or item.default is None else str(item.default)
            yield Entry(group, item.metadata["name"], default, item.metadata["doc"], secret)
            if twin := _file_twin(item):
                yield Entry(
                    group, twin, "", f"file that holds {item.metadata['name']} instead; read again at each use", False
                )


def _file_twin(item: Field[Any]) -> str | None:
    """The name of a secret's `_FILE` variable; `gitpassword` has a setting of its own for it."""
    name: str = item.metadata["name"]
    return f"{name}_FILE" if item.metadata.get("secret") and name.startswith(PREFIX) else None


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read all settings from the environment (or a mapping given in its place).

    Raises SettingsError naming every setting that is unknown or malformed.
    """
    given = dict(os.environ if environ is None else environ)
    if environ is None:
        given.update(_handed_down(os.environ))
    problems = list(_unknown(given))
    groups: dict[str, Any] = {}
    for group, kind in GROUPS.items():
        values: dict[str, Any] = {}
        for item in fields(kind):
            try:
                if (value := _read(item, given)) is not None:
                    values[item.name] = value
            except ValueError as error:
                reason = str(error) if "invalid literal" not in str(error) else "must be a whole number"
                problems.append(f"{item.metadata['name']} {reason}")
        groups[group] = kind(**values)
    git: Git = groups["git"]
    if git.password_file and not git.password:
        groups["git"] = replace_password(git)
    if problems:
        raise SettingsError("; ".join(problems))
    return Settings(**groups)


def replace_password(git: Git) -> Git:
    """The same settings with the password read from `MODELSYNC_GIT_PASSWORD_FILE` at each use."""
    values = {item.name: getattr(git, item.name) for item in fields(Git)}
    return Git(**{**values, "password": Secret(file=git.password_file)})


def _read(item: Field[Any], given: Mapping[str, str]) -> Any:
    name = item.metadata["name"]
    if item.metadata.get("secret"):
        twin = _file_twin(item)
        if twin and given.get(twin):
            if given.get(name):
                raise ValueError(f"and {twin} are both set; set one")
            return Secret(file=Path(given[twin]).expanduser())
        return Secret(given[name].strip()) if given.get(name) else None
    raw = given.get(name)
    # An empty variable means "unset", as Compose files and .env templates write it; only baseUrl may be meant empty.
    if raw is None or (not raw.strip() and name != "baseUrl"):
        return None
    return item.metadata["parse"](raw)


def _unknown(given: Mapping[str, str]) -> Iterator[str]:
    known = {entry.name for entry in entries()} | INTERNAL
    for name in sorted(given):
        # MODELSYNC_TEST_* belongs to the test suites, which run the service with their own environment.
        if name.startswith(PREFIX) and name not in known and not name.startswith("MODELSYNC_TEST_"):
            near = difflib.get_close_matches(name, known, n=1)
            yield f"{name} is not a setting" + (f" (did you mean {near[0]}?)" if near else "")


# --- keeping secrets from the models ----------------------------------------------------------------------------------


def secret_names() -> frozenset[str]:
    """The environment variables whose values no model may see."""
    return frozenset(entry.name for entry in entries() if entry.secret)


def hide_secrets(environ: MutableMapping[str, str]) -> None:
    """Remove the service's own secrets from an environment before model code runs in it; all else stays."""
    for name in secret_names():
        environ.pop(name, None)


def child_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """A copy of the environment for a process that runs model code: without the service's secrets."""
    child = dict(os.environ if environ is None else environ)
    hide_secrets(child)
    return child


def git_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a git process gets of our environment: where programs are, proxies and certificate authorities."""
    given = os.environ if environ is None else environ
    names = {"https_proxy", "http_proxy", "all_proxy", "no_proxy", "git_ssl_cainfo", "git_ssl_capath"}
    child = {name: value for name, value in given.items() if name == "PATH" or name.lower() in names}
    if given.get("SSL_CERT_FILE"):  # what Python and OpenSSL read; git has a name of its own for it
        child.setdefault("GIT_SSL_CAINFO", given["SSL_CERT_FILE"])
    return child


def hand_down(environ: Mapping[str, str] | None = None) -> int:
    """An inheritable descriptor from which a child's `load` takes the secrets that its environment does not hold.

    The child finds its number in `MODELSYNC_SECRETS_FD`. The caller closes it once the child has started.
    """
    given = os.environ if environ is None else environ
    secrets = {name: given[name] for name in secret_names() if given.get(name)}
    fd = os.memfd_create("modelsync-secrets", 0)
    os.write(fd, orjson.dumps(secrets))
    return fd


def _handed_down(environ: MutableMapping[str, str]) -> dict[str, str]:
    """Take what `hand_down` gave, and leave nothing of it for the models."""
    if not (number := environ.pop("MODELSYNC_SECRETS_FD", "")):
        return {}
    with open(int(number), "rb") as file:  # noqa: PTH123  a descriptor, not a path
        file.seek(0)
        secrets: dict[str, str] = orjson.loads(file.read())
    return secrets
