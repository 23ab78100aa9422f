"""Logging: one JSON object a line, or text on a terminal, without secrets.

Extra values go with a record as `extra={"fields": {...}}`, or through `event`; a traceback that is
a text already as `extra={"trace": ...}`. `configure` installs the one handler, for all loggers of
the standard library: gunicorn, warnings, the models.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from modelsync import json_text
from modelsync.errors import SettingsError
from modelsync.observability import redaction
from modelsync.observability.redaction import Redactor, Secrets
from modelsync.observability.tracebacks import UNPRINTABLE, bounded, brief

if TYPE_CHECKING:  # not at run time: a runner has none
    from modelsync.settings import Settings

# The logger of a model's own modules: a package of its name (each - is an _) and its version.
_MODEL = re.compile(r"modelsync_models\.(\w+?)_[0-9a-f]{8}(?:_\d+)?(?:\.|$)")
_CONTROL = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)
}
_SEPARATORS = {code: f"\\u{code:04x}" for code in (0x2028, 0x2029)}
# What JSON allows and a terminal or a reader of lines does not: C1 controls, line separators.
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029]")

_HASH = re.compile(r"\b[0-9a-f]{40}(?:[0-9a-f]{24})?\b")
_COLOURS = ((logging.ERROR, "\x1b[31m"), (logging.WARNING, "\x1b[33m"))
_PLAIN = "\x1b[0m"

MAX_ARGUMENTS = 200
"""Characters of the arguments that are shown of a log call whose message cannot be formatted."""


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
    handler = LineHandler(stream)
    coloured = stream.isatty() and not os.environ.get("NO_COLOR")
    handler.setFormatter(
        TextFormatter(redact, coloured=coloured) if text else JsonFormatter(redact)
    )
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
    access, store = settings.access, settings.store
    lists = (access.predict_tokens, access.train_tokens, access.admin_tokens)
    databases = (store.database_url, settings.training.data_url)
    keys = (store.s3_access_key, store.s3_secret_key)

    def read() -> Iterator[str]:
        for secret in (settings.git.password, access.webhook_secret, *databases, *keys, *lists):
            try:
                value = secret.read()
            except SettingsError:
                # an unreadable file holds no secret; the user of the secret reports it
                continue
            yield from value.split(",") if secret in lists else (value,)

    return read


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes each record at once; formats it before it takes the lock of the stream.

    A record may hold objects of a model, whose `__str__` may take long, log itself, or be
    interrupted: no other thread waits for that.
    """

    def handle(self, record: logging.LogRecord) -> bool:
        """Format and write a record, unless a filter drops it."""
        if not self.filter(record):
            return False
        try:
            text = self.format(record)
            with self.lock or nullcontext():
                self.stream.write(text + self.terminator)
                self.flush()
        except Exception:  # noqa: BLE001  the edge of logging, as in `StreamHandler.emit`
            self.handleError(record)
        return True


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
            "message": _message(record),
        }
        if trace := _trace(record):
            line["exception"] = trace
        line = self._redact(
            line | {key: value for key, value in _fields(record).items() if key not in line}
        )
        try:
            return escaped(json_text.dumps(line)).decode()
        except TypeError:  # a lone surrogate or an integer over 64 bits, which orjson refuses
            return json.dumps(line)


class TextFormatter(logging.Formatter):
    """One readable line: fields as key=value without null ones, the traceback below.

    Hashes are shortened, control characters escaped. `coloured`: errors are red, warnings yellow.
    """

    def __init__(self, redact: Redactor, *, coloured: bool = False) -> None:
        super().__init__()
        self._redact = redact
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        when = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        line = f"{when} {record.levelname.lower():<7} {self._redact(_message(record))}".replace(
            "\n", " "
        )
        for key, value in self._redact(_fields(record)).items():
            if value is not None:
                line += f" {key}={_HASH.sub(_shortened, _shown(value))}"
        if trace := _trace(record):
            line += f"\n{self._redact(trace)}"
        line = line.translate(_CONTROL | _SEPARATORS)
        colour = next((code for level, code in _COLOURS if record.levelno >= level), "")
        return f"{colour}{line}{_PLAIN}" if colour and self._coloured else line


def escaped(line: bytes) -> bytes:
    """Return a line of JSON with C1 controls and Unicode's line separators as escapes."""
    if line.isascii() and b"\x7f" not in line:
        return line
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", line.decode()).encode()


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


def _shortened(found: re.Match[str]) -> str:
    """Return the first digits of a hash, as git shows it to people."""
    return found[0][:12]


def _message(record: logging.LogRecord) -> str:
    """Return the message of a record; of a malformed call what was to be said."""
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001  the wrong arguments, or a `__str__` of a model
        said = str(record.msg) if isinstance(record.msg, str) else UNPRINTABLE
        return f"{said} (malformed log call: {type(error).__name__}{_given(record.args)})"


def _given(arguments: object) -> str:
    try:
        return f", arguments {brief(arguments, MAX_ARGUMENTS)}"
    except Exception:  # noqa: BLE001  a `__repr__` of a model
        return ""


def _trace(record: logging.LogRecord) -> str:
    trace = getattr(record, "trace", "")  # made before, by `Explainer`
    try:
        if record.exc_info:
            trace = bounded(record.exc_info[1])
    except BaseException:  # noqa: BLE001  parts of an exception are the model's code
        trace = UNPRINTABLE
    return "\n".join(part for part in (trace, record.stack_info) if part)


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
