"""Logging: one JSON object a line, or text on a terminal, without secrets.

Extra values go with a record as `extra={"fields": {...}}`, or through `event`. `configure` installs
the one handler, for all loggers of the standard library: gunicorn, warnings, the models.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from modelsync import json_text
from modelsync.errors import SettingsError
from modelsync.observability import redaction
from modelsync.observability.redaction import Redactor, Secrets

if TYPE_CHECKING:  # not at run time: a runner has none
    from modelsync.settings import Settings

# The logger of a model's own modules: a package of its name (each - is an _) and its version.
_MODEL = re.compile(r"modelsync_models\.(\w+?)_[0-9a-f]{8}(?:_\d+)?(?:\.|$)")
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127) if chr(code) not in "\n\t"}


class LogSettings(Protocol):
    """`format`: auto, json or text; `level`: the name of a level, in lower case."""

    @property
    def format(self) -> str:
        """Return the format."""

    @property
    def level(self) -> str:
        """Return the level."""


def configure(logs: LogSettings, stream: TextIO | None = None, secrets: Secrets = ()) -> None:
    """Send all logging of this process to `stream` (standard error), formatted as the settings say.

    `secrets` are redacted here, and by `redaction`. A callable is called at each record, so that
    rotated secrets are redacted, too. A second call replaces the first one, as a forked process
    needs.
    """
    stream = stream or sys.stderr
    text = logs.format == "text" or (logs.format == "auto" and stream.isatty())
    redact = redaction.set_secrets(secrets)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter(redact) if text else JsonFormatter(redact))
    logging.basicConfig(handlers=[handler], level=logs.level.upper(), force=True)
    logging.captureWarnings(True)
    adopt("gunicorn.error", "gunicorn.access")


def adopt(*names: str) -> None:
    """Remove the handlers of loggers that brought their own (gunicorn's)."""
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


def event(logger: logging.Logger, level: int, message: str, /, **fields: Any) -> None:
    """Log a message with fields, which are keys of the JSON object."""
    logger.log(level, message, extra={"fields": fields})


def secrets_of(settings: Settings) -> Callable[[], Iterator[str]]:
    """The secrets of these settings, for `configure`; files are read at each use."""
    access = settings.access
    lists = (access.predict_tokens, access.train_tokens, access.admin_tokens)

    def read() -> Iterator[str]:
        for secret in (settings.git.password, access.webhook_secret, *lists):
            try:
                value = secret.read()
            except SettingsError:
                # an unreadable file holds no secret; the user of the secret reports it
                continue
            yield from value.split(",") if secret in lists else (value,)

    return read


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, the fields, exception."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; a field never replaces one of the standard ones."""
        line: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if trace := _trace(self, record):
            line["exception"] = trace
        line = self._redact(
            line | {key: value for key, value in _fields(record).items() if key not in line}
        )
        try:
            return json_text.dumps(line).decode()
        except TypeError:  # a lone surrogate or an integer over 64 bits, which orjson refuses
            return json.dumps(line)


class TextFormatter(logging.Formatter):
    """One readable line: fields as key=value without null ones, the traceback below.

    Control characters are escaped.
    """

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        when = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        line = f"{when} {record.levelname.lower():<7} {self._redact(record.getMessage())}".replace(
            "\n", " "
        )
        for key, value in self._redact(_fields(record)).items():
            if value is not None:
                line += f" {key}={_shown(value)}"
        if trace := _trace(self, record):
            line += f"\n{self._redact(trace)}"
        return line.translate(_CONTROL)


def _moment(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    given = getattr(record, "fields", None)
    fields = {str(key): value for key, value in given.items()} if isinstance(given, dict) else {}
    if "model" not in fields and (found := _MODEL.match(record.name)):
        fields["model"] = found[1]
    return fields


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [
        formatter.formatException(record.exc_info) if record.exc_info else "",
        record.stack_info or "",
    ]
    return "\n".join(part for part in parts if part)


def _shown(value: Any) -> str:
    match value:
        case str():
            text = value
        case float():
            text = f"{value:.6f}".rstrip("0").rstrip(".") if math.isfinite(value) else str(value)
        case list():
            text = ",".join(str(item) for item in value)
        case _:
            text = json.dumps(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r"[\s\"=]", text) or not text else text
