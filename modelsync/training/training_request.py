"""What the body of a `PUT` or a `PATCH` asks for: data to fit with, or a source, and parameters.

A large body takes seconds of the interpreter and ten times its size in memory, so a process of its
own reads it: `python -m modelsync.training.training_request IN OUT`.
"""

from __future__ import annotations

import difflib
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from modelsync.errors import DataInvalid, MalformedBody, RequestError
from modelsync.models.tables import bodies
from modelsync.models.tables.table import Table, kind_of
from modelsync.resources import starting

MEMBERS = (
    "x", "y", "data", "target", "source", "columns", "orient", "params", "modkwargs", "algkwargs",
    "name", "key", "model_key", "model-key", "retrain", "webhook",
)  # fmt: skip
"""The members of a body. `modkwargs` and `algkwargs`, of *ml-server*, are parameters too."""

LARGE = 1024**2
"""Bytes from which a body is read by a process of its own."""

MAX_FACTS = 256 * 1024
"""Bytes of parameters, or of names of columns: each look at the queue reads those of all jobs."""

MAX_URL = 2000
"""Characters of a webhook."""

TIMEOUT = 300.0
"""Seconds that reading a body may take."""

KEY_DIGITS = 12
"""Hexadecimal digits of a key that is made of data and parameters."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NUMBER = re.compile(r"v?[0-9]+")


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """A body, but for its data.

    `name`: what the version is to be called, or the version to update; empty if not given. `data`:
    the digest of the data in hex, empty if there are none. `columns_of_x`: their columns, which are
    numbers unless they are `named`; `has_y`: the target is there too. `source`, `target`,
    `columns`: the data are read from there by the job.
    """

    name: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    retrain: bool = False
    webhook: str = ""
    source: str = ""
    target: str = ""
    columns: list[str] = field(default_factory=list)
    data: str = ""
    columns_of_x: list[str] = field(default_factory=list)
    named: bool = False
    has_y: bool = False


def read(body: bytes) -> tuple[TrainingRequest, bytes]:
    """Return what a body asks for, and its data as JSON `{"x": ..., "y": ...}`, empty without any.

    The data are rows, or an object of columns, without texts of JSON and orients of pandas.
    Raises MalformedBody if it is no JSON object, DataInvalid if it holds something else.
    """
    if not body.strip():
        return TrainingRequest(), b""
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        hint = "; JSON has no NaN: send null" if _is_nan(error) else ""
        raise MalformedBody(f"the body is not JSON: {error.msg}{hint}", error.pos) from None
    if not isinstance(asked, dict):
        raise MalformedBody(f"the body is {kind_of(asked)}; expected an object with x and y")
    _refuse_unknown(asked)
    if not isinstance(target := asked.get("target"), str | list | None):
        raise DataInvalid(f"target: expected the name of a column, not {kind_of(target)}")
    request = TrainingRequest(
        name=_name(asked),
        params=_params(asked),
        retrain=_flag(asked, "retrain"),
        webhook=_webhook(asked),
        **_source(asked),
    )
    for name, value in ("params", request.params), ("columns", request.columns):
        if (size := len(orjson.dumps(value))) > MAX_FACTS:
            raise DataInvalid(
                f"{name}: takes {size:,} bytes; expected at most {MAX_FACTS:,}: data belong in x"
            )
    if request.source or not asked.keys() & {"x", "y", "data"}:
        return request, b""
    found = _data(asked)
    content = {"x": _plain(found.x), "y": _plain(found.y) if found.y is not None else None}
    request = replace(
        request,
        data=sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest(),
        columns_of_x=list(found.x),
        named=found.x.named,
        has_y=found.y is not None,
    )
    return request, orjson.dumps(content)


def read_file(file: Path, to: Path) -> TrainingRequest:
    """Do as `read` for a body in a file, in a process of its own; the data are written to `to`.

    Raises as `read` does, and ResourcesExhausted.
    """
    command = [sys.executable, "-m", __name__, str(file), str(to)]
    with starting("the process that reads the body"):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        told, _ = child.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        raise DataInvalid(f"the body takes over {TIMEOUT:g} s to read; use a source") from None
    if child.returncode != 0:
        raise DataInvalid("the body takes more memory than there is; use a source")
    found: dict[str, Any] = orjson.loads(told)
    if kind := found.pop("error", None):
        known = {one.__name__: one for one in (DataInvalid, MalformedBody)}
        raise known[kind](found["detail"])
    return TrainingRequest(**found)


def valid_name(name: str, what: str = "name") -> str:
    """Return the name of a version or a label. Raises DataInvalid if it cannot be one."""
    if not _NAME.fullmatch(name):
        raise DataInvalid(
            f"{what}: {name[:100]!r} cannot be a name; use up to 100 letters, digits, '.', '_' and "
            "'-', and begin with a letter or a digit"
        )
    if _NUMBER.fullmatch(name):
        raise DataInvalid(f"{what}: {name!r} would be taken for the number of a version")
    return name


# --- members --------------------------------------------------------------------------------------


def _refuse_unknown(asked: Mapping[str, Any]) -> None:
    if unknown := sorted(asked.keys() - set(MEMBERS)):
        near = difflib.get_close_matches(unknown[0].lower(), MEMBERS, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(MEMBERS)}"
        raise DataInvalid(f"{unknown[0][:100]}: there is no such member{hint}")


def _name(asked: Mapping[str, Any]) -> str:
    given = [asked[one] for one in ("name", *bodies.KEYS) if asked.get(one) not in (None, "")]
    if not given:
        return ""
    if any(one != given[0] for one in given):
        raise DataInvalid("name and key are both given, and differ")
    if type(given[0]) is int:
        return str(given[0])
    if not isinstance(given[0], str):
        raise DataInvalid(f"name: is {kind_of(given[0])}, not a text")
    return given[0]


def _params(asked: Mapping[str, Any]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for name in ("params", "modkwargs", "algkwargs"):
        given = _unwrapped(asked.get(name), name)
        if given is None:
            continue
        if not isinstance(given, dict):
            raise DataInvalid(f"{name}: is {kind_of(given)}; expected an object of parameters")
        if twice := [one for one in given if one in params and params[one] != given[one]]:
            raise DataInvalid(f"{name}: {twice[0]!r:.100} is given twice, with two values")
        params.update(given)
    return params


def _unwrapped(value: Any, name: str) -> Any:
    """Return a value that may be JSON in a text."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value) if value.strip() else None
    except orjson.JSONDecodeError as error:
        raise DataInvalid(f"{name}: is a text, but no JSON: {error.msg}") from None


def _flag(asked: Mapping[str, Any], name: str) -> bool:
    value = asked.get(name)
    if isinstance(value, str):
        value = {"true": True, "1": True, "false": False, "0": False, "": False}.get(value.lower())
        if value is None:
            raise DataInvalid(f"{name}: {asked[name][:20]!r} is neither true nor false")
    if value not in (None, True, False, 0, 1):
        raise DataInvalid(f"{name}: is {kind_of(value)}, neither true nor false")
    return bool(value)


def _webhook(asked: Mapping[str, Any]) -> str:
    url = asked.get("webhook")
    if url is None:
        return ""
    if not isinstance(url, str) or (url and not re.match(r"https?://[^/\s]", url)):
        raise DataInvalid("webhook: expected a URL that begins with http:// or https://")
    if len(url) > MAX_URL:
        raise DataInvalid(f"webhook: expected at most {MAX_URL} characters, came {len(url):,}")
    return url


def _source(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return source, target and columns where the data are not in the body."""
    named = [asked.get("source")]
    for name in ("x", "data"):
        value = asked.get(name)
        if isinstance(value, dict) and isinstance(value.get("source"), str):
            named.append(value["source"])
    given = [one for one in named if one not in (None, "")]
    if not given:
        return {}
    source, target = given[0], asked.get("target") or asked.get("y") or ""
    columns = asked.get("columns") or []
    if len(given) > 1 or not isinstance(source, str):
        raise DataInvalid("source: expected one text, such as data/*.parquet")
    if not isinstance(target, str):
        raise DataInvalid(
            f"target: with a source it is the name of a column, not {kind_of(target)}"
        )
    if not isinstance(columns, list) or not all(isinstance(one, str) for one in columns):
        raise DataInvalid("columns: expected a list of names")
    return {"source": source, "target": target, "columns": columns}


def _is_nan(error: orjson.JSONDecodeError) -> bool:
    """Whether JSON ends where Python and JavaScript write a number that is none."""
    begin = error.doc[error.pos : error.pos + 9].lstrip("-")
    return begin.startswith(("N", "I"))


# --- data -----------------------------------------------------------------------------------------


def _data(asked: dict[str, Any]) -> bodies.TrainingData:
    """Return the data of a body. Raises DataInvalid."""
    x, y = asked.get("x", asked.get("data")), asked.get("y")
    if isinstance(y, str) and not asked.get("target") and not y.lstrip().startswith(("[", "{")):
        asked = {**asked, "target": y, "y": None}  # the name of a column of x
    if x is None:
        raise DataInvalid("x: is missing beside y; send a list of rows, or {column: [...]}")
    return bodies.training(asked)


def _plain(table: Table) -> Any:
    """Return a table in the form in which it is stored."""
    if table.named:
        return dict(table)
    values = list(table.values())
    return values[0] if table.flat else [list(row) for row in zip(*values, strict=True)]


def _main(source: str, to: str) -> None:
    try:
        request, content = read(Path(source).read_bytes())
    except RequestError as error:
        told: dict[str, Any] = {"error": type(error).__name__, "detail": str(error)}
    else:
        Path(to).write_bytes(content)
        told = asdict(request)
    sys.stdout.buffer.write(orjson.dumps(told))


if __name__ == "__main__":
    _main(*sys.argv[1:])
