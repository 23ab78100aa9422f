"""`helm test`: waits until the service is ready, then calls a model and compares the answer with
its example.

The environment says where: URL (of the service), BASE (its prefix), MODEL and VARIABLES (JSON; both
may be empty), TOKEN_FILE (may be empty), TIMEOUT (seconds).
"""

import json
import os
import sys
import time
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


def example() -> tuple[str, Any, Any]:
    """A model, variables to call it with, and the answer if it is known.

    Ends the program where no model has an example.
    """
    status, page = ask(path() + "/")
    if status != 200:
        sys.exit(f"{path()}/ answered {status}: {page}")
    names = (
        [os.environ["MODEL"]]
        if os.environ.get("MODEL")
        else [model["name"] for model in page["models"]]
    )
    if given := json.loads(os.environ.get("VARIABLES") or "{}"):
        return names[0], given, None
    for name in names:
        status, model = ask(path(name))
        if status != 200:
            sys.exit(f"{path(name)} answered {status}: {model}")
        if model["state"] == "ready" and model["examples"]:
            found = model["examples"][0]
            return name, found["variables"], found.get("response")
    sys.exit("no model has an example (examples/*.json); set test.model and test.variables")


def main() -> None:
    """Call one model, and compare its answer with that of its example."""
    wait()
    name, variables, expected = example()
    status, answer = ask(path(name), {"variables": variables})
    print(f"POST {URL}{path(name)} {json.dumps(variables)}: {status} {json.dumps(answer)}")
    if status != 200:
        sys.exit("the model did not answer")
    if expected is not None and answer != expected:
        print(f"its example says {json.dumps(expected)}; the check has found that close enough")


main()
