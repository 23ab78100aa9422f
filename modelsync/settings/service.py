"""The settings of the service itself: server, tokens, state directory, logs.

The first paragraph of a class's docstring is the title of its table in the README.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelsync.settings import parsers
from modelsync.settings.definition import secret, setting
from modelsync.settings.secret import Secret

LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]
AllShape = Literal["named", "flat"]
AccessLogged = Literal["all", "requests", "errors", "off"]
Isolation = Literal["auto", "worker", "environment", "model"]


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The listener and its processes."""

    base_url: str = setting(
        "baseUrl",
        "models",
        parsers.base_url,
        "URL prefix of every route, without slashes around it; may be empty",
    )
    all: AllShape = setting(
        "MODELSYNC_ALL",
        "named",
        parsers.choice(AllShape),
        "answer of `POST /all`: `named` has each result under its model's name, `flat` merges all "
        "into one object; `?flat=` of a request decides otherwise",
    )
    cors_origins: tuple[str, ...] = setting(
        "MODELSYNC_CORS_ORIGINS",
        (),
        parsers.origins,
        "origins whose pages may call the service from a browser, such as "
        "`https://app.example.org`, separated by commas; or `*`: any, without cookies",
        shown="",
    )
    host: str = setting(
        "MODELSYNC_HOST",
        "127.0.0.1",
        parsers.text,
        "address to listen on (the image sets 0.0.0.0); `::` is all addresses, of IPv4 and IPv6",
    )
    port: int = setting(
        "MODELSYNC_PORT", 8080, parsers.integer(0, 65535), "port to listen on; 0 takes a free one"
    )
    workers: int = setting(
        "MODELSYNC_WORKERS",
        os.cpu_count() or 1,
        parsers.integer(1, 1024),
        "worker processes",
        shown="number of cores",
    )
    threads: int = setting(
        "MODELSYNC_THREADS",
        32,
        parsers.integer(1, 1024),
        "threads per worker for models that are too slow for the event loop",
    )
    preload: bool = setting(
        "MODELSYNC_PRELOAD",
        True,
        parsers.boolean,
        "load the models once, before the workers are forked, so that they share memory",
    )
    isolation: Isolation = setting(
        "MODELSYNC_ISOLATION",
        "auto",
        parsers.choice(Isolation),
        "least isolation of a model: `auto` and `worker` let the check decide, `environment` runs "
        "no model in the workers but one process per environment, `model` one process per model",
    )
    runner_memory: int | None = setting(
        "MODELSYNC_RUNNER_MEMORY",
        None,
        parsers.size,
        "memory that a model in a process of its own, or all models of an environment, may "
        "allocate, such as 2GiB; over it the model gets a MemoryError",
    )
    predict_timeout: float = setting(
        "MODELSYNC_PREDICT_TIMEOUT",
        30.0,
        parsers.seconds,
        "time one prediction may take; after it the answer is 504",
        shown="30s",
    )
    max_body: int = setting(
        "MODELSYNC_MAX_BODY",
        10 * 1024**2,
        parsers.size,
        "size of the largest request body; over it the answer is 413",
        shown="10MiB",
    )
    max_buffered: int = setting(
        "MODELSYNC_MAX_BUFFERED",
        256 * 1024**2,
        parsers.size,
        "memory per worker for bodies of requests and answers that clients have not read; over it "
        "clients that do not read are disconnected, and large bodies answered 503",
        shown="256MiB",
    )
    max_queue: int = setting(
        "MODELSYNC_MAX_QUEUE",
        1000,
        parsers.integer(1, 1_000_000),
        "predictions that may wait per worker; over it the answer is 503",
    )
    drain_timeout: float = setting(
        "MODELSYNC_DRAIN_TIMEOUT",
        30.0,
        parsers.seconds,
        "time that requests in flight have to finish when a release is replaced "
        "or the service stops",
        shown="30s",
    )


@dataclass(frozen=True, slots=True)
class Access:
    """Bearer tokens, one or several separated by commas (for rotation). Without predict tokens
    anyone may predict.
    """

    predict_tokens: Secret = secret(
        "MODELSYNC_PREDICT_TOKENS", "tokens that may predict; unset: no token is needed"
    )
    train_tokens: Secret = secret(
        "MODELSYNC_TRAIN_TOKENS", "tokens that may train; unset: training is refused"
    )
    admin_tokens: Secret = secret(
        "MODELSYNC_ADMIN_TOKENS",
        "tokens that may do everything, sync included; unset: syncing is refused",
    )
    webhook_secret: Secret = secret(
        "MODELSYNC_WEBHOOK_SECRET",
        "secret of the webhook of GitHub, GitLab or Gitea; unset: webhooks are refused",
    )


@dataclass(frozen=True, slots=True)
class State:
    """The folders of the service."""

    home: Path = setting(
        "MODELSYNC_HOME", Path(".modelsync"), lambda raw: Path(raw).expanduser(), "state directory"
    )
    models: Path = setting(
        "MODELSYNC_MODELS",
        Path("models_serve"),
        lambda raw: Path(raw).expanduser(),
        "folder to serve without `gitPath`",
    )


@dataclass(frozen=True, slots=True)
class Logs:
    """Logs go to standard error, one record a line."""

    format: LogFormat = setting(
        "MODELSYNC_LOG_FORMAT",
        "auto",
        parsers.choice(LogFormat),
        "json or text; auto: text on a terminal, else json",
    )
    level: LogLevel = setting(
        "MODELSYNC_LOG_LEVEL", "info", parsers.choice(LogLevel), "debug, info, warning or error"
    )
    access: AccessLogged = setting(
        "MODELSYNC_ACCESS_LOG",
        "requests",
        parsers.choice(AccessLogged),
        "which requests are logged: `requests` leaves out /livez, /readyz and /metrics, which are "
        "asked all the time, `errors` are those of status 400 and above, `all` or `off`",
    )
