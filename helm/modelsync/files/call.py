"""`helm test`: waits until the service is ready, then calls a model that has an example, and
compares the answer with it, or else one that takes no variables. Where there is neither, a service
that is ready is all that can be told.

The environment says where: URL (of the service), BASE (its prefix), MODEL and VARIABLES (JSON; both
may be empty), TOKEN_FILE (may be empty), TIMEOUT (seconds).
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

URL = os.environ["URL"].rstrip("/")
BASE = os.environ["BASE"].strip("/")
DEADLINE = time.monotonic() + float(os.environ["TIMEOUT"])


def ask(path: str, body: Any = None) -> tuple[int, Any]:
    """The status and the JSON that is answered."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if file := os.environ.get("TOKEN_FILE"):
        headers["Authorization"] = f"Bearer {Path(file).read_text().split(',')[0].strip()}"
    request = Request(URL + path, None if body is None else json.dumps(body).encode(), headers)
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def wait() -> None:
    """Wait until the service is ready; end the program with the reason if it is not in time."""
    while True:
        try:
            status, answer = ask("/readyz")
        except (URLError, OSError, ValueError) as error:
            status, answer = 0, str(error)
        if status == 200:
            return
        if time.monotonic() > DEADLINE:
            sys.exit(f"{URL} is not ready: {answer}")
        time.sleep(1)


def path(*parts: str) -> str:
    """A path below the base."""
    return "".join(f"/{quote(part, safe='/')}" for part in (BASE, *parts) if part)


def get(where: str) -> Any:
    """The JSON at a path; ends the program with what else is answered."""
    status, answer = ask(where)
    if status != 200:
        sys.exit(f"{where} answered {status}: {answer}")
    return answer


def candidates() -> Iterator[dict[str, Any]]:
    """What is told of each model that can be called; ends the program where a wanted one cannot."""
    wanted = os.environ.get("MODEL")
    page = {} if wanted else get(path() + "/")
    for name in [wanted] if wanted else [one["name"] for one in page["models"] if one["url"]]:
        model = get(path(name))
        if model["state"] in {"ready", "stale"}:
            yield model
        elif wanted:
            sys.exit(f"{name} is {model['state']}: {model['reason']}")


def choose() -> tuple[str, Any, Any] | None:
    """A model, variables to call it with, and the answer if it is known; None if no variables are
    known for any.
    """
    given = json.loads(os.environ.get("VARIABLES") or "{}")
    without: tuple[str, Any, Any] | None = None
    for model in candidates():
        if given:
            return model["name"], given, None
        if examples := model.get("examples"):
            return model["name"], examples[0]["variables"], examples[0].get("response")
        if (model.get("schema") or {}).get("properties") == {}:
            without = without or (model["name"], {}, None)
    return without


def main() -> None:
    """Call one model, and compare its answer with that of its example."""
    wait()
    if (chosen := choose()) is None:
        print(
            f"{URL} is ready. Nothing was called: what {os.environ.get('MODEL') or 'its models'} "
            "can be called with is not known, for want of examples (examples/*.json). To have one "
            "called, set test.model and test.variables"
        )
        return
    name, variables, expected = chosen
    status, answer = ask(path(name), {"variables": variables})
    print(f"POST {URL}{path(name)} {json.dumps(variables)}: {status} {json.dumps(answer)}")
    if status != 200:
        sys.exit("the model did not answer")
    if expected is not None and answer != expected:
        print(f"its example says {json.dumps(expected)}; the check has found that close enough")


try:
    main()
except (URLError, OSError, ValueError) as error:
    sys.exit(f"{URL} cannot be asked: {error}")
