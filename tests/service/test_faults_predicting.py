"""Models that misbehave when they are called: their own request fails, and nothing else notices."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.fixtures.service import Service, serving, write_model
from tests.records import Record
from tests.service.faulty import Client, model
from tests.waiting import setting, until

RAISING = {
    "Raises": (model("raise ValueError('no such rate')"), "ValueError", "no such rate"),
    "Exit3": (model("import sys; sys.exit(3)"), "SystemExit", "3"),
    "Exit4": (model("import sys; sys.exit(4)"), "SystemExit", "4"),
    "Leaves": (model("raise SystemExit"), "SystemExit", ""),
    "Quits": (model("quit()"), "SystemExit", ""),
    "Interrupts": (model("raise KeyboardInterrupt"), "KeyboardInterrupt", ""),
    "Generates": (model("raise GeneratorExit"), "GeneratorExit", ""),
    "Cancels": (model("import asyncio; raise asyncio.CancelledError"), "CancelledError", ""),
    "Stops": (model("raise StopIteration"), "StopIteration", ""),
    "Recurses": (
        model("return self.transform_predict(variables)"),
        "RecursionError",
        "maximum recursion",
    ),
    "Mute": (
        model("raise E", top="class E(BaseException):\n    def __str__(self): raise SystemExit(3)"),
        "E",
        "(its message cannot be shown)",
    ),
    "Missing": (
        model("open(self.path + 'no.csv')"),
        "FileNotFoundError",
        "No such file or directory: 'no.csv'",
    ),
    "Elsewhere": (
        model("open('/no/such/place/a.csv')"),
        "FileNotFoundError",
        "No such file or directory: '…/a.csv'",
    ),
    "AsyncExit3": (model("import sys; sys.exit(3)", kind="async def"), "SystemExit", "3"),
    "AsyncInterrupts": (
        model("raise KeyboardInterrupt", kind="async def"),
        "KeyboardInterrupt",
        "",
    ),
    "AsyncCancels": (
        model("import asyncio; raise asyncio.CancelledError", kind="async def"),
        "CancelledError",
        "",
    ),
    "Nothing": (model("pass"), "TypeError", "returned None, not a dict"),
    "List": (model("return [1]"), "TypeError", "returned a list, not a dict"),
    "Odd": (model("return {'a': [object()]}"), "TypeError", "a[0] is a object"),
    "Endless": (model("r = {}; r['r'] = r; return r"), "TypeError", "contains itself"),
    "Evil": (
        model("return {'a': E()}", top="class E:\n    def tolist(self): raise SystemExit(3)"),
        "SystemExit",
        "3",
    ),
    "Huge": (model("return {'a': 'x' * 100_000_000}"), "ValueError", "at most 67108864 are served"),
}

DISTURBING = {
    "Json": "import json, orjson; json.dumps = json.loads = orjson.dumps = orjson.loads = None",
    "Builtins": "import builtins; builtins.len = builtins.dict = builtins.isinstance = None",
    "Closes": "import sys; sys.stdout.close(); sys.stderr.close(); sys.__stdout__.close(); "
    "sys.__stderr__.close()",
    "Buffers": "import io, sys; io.TextIOWrapper(sys.stdout.buffer).close(); "
    "io.TextIOWrapper(sys.stderr.buffer)",
    "Descriptors": "import os\nfor fd in (0, 1, 2): os.close(fd)",
    "Range": "import os; os.closerange(0, 3)",
    "Moves": "import os; os.chdir('/')",
    "Threads": "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()",
    "Dies": "import threading, os; threading.Thread(target=lambda: 1 / 0).start()",
    "Environment": "import os; os.environ.clear()",
    "Logging": "import logging; logging.disable(); logging.root.handlers.clear(); "
    "logging.shutdown()",
    "Reconfigures": "import logging.config as c; c.dictConfig({'version': 1, "
    "'disable_existing_loggers': True})",
    "Limits": "import sys, socket; sys.setrecursionlimit(100); socket.setdefaulttimeout(1e-9)",
    "Paths": "import sys; sys.path.clear(); sys.meta_path.clear()",
    "Decimals": "import decimal; decimal.getcontext().prec = 2",
    "Ignores": "import signal\ntry: signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "except ValueError: pass",
    "Mutates": "variables.clear(); variables['value'] = 2",
}
"""What a model does to the process that it shares with others, when it is called."""

REPAIRED = {"Limits", "Paths"}
"""What is put back within a second only: nobody does it but by mistake, and looking after each call
would cost all.
"""

AT_IMPORT = {
    **{f"Early{name}": code for name, code in DISTURBING.items() if "variables" not in code},
    "EarlyBlocks": "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, "
    "signal.SIGCHLD})",
    "EarlyHandlers": "import signal\nfor n in (1, 2, 3, 6, 10, 12, 15, 17): signal.signal(n, "
    "signal.SIG_IGN)",
    "EarlyAlarm": "import signal; signal.alarm(3)",
    "EarlyAtexit": "import atexit, time; atexit.register(time.sleep, 600)",
    "EarlyDaemon": "import threading, time; threading.Thread(target=time.sleep, args=(600,), "
    "daemon=True).start()",
    "EarlyForks": "import os, time\nif not os.fork():\n    time.sleep(600); os._exit(0)",
    "EarlyLoggers": (
        "import logging\nfor n in ('modelsync', 'modelsync.access', "
        "'modelsync.inference.dataplane'):\n"
        "    logging.getLogger(n).setLevel(99); logging.getLogger(n).propagate = False"
    ),
    "EarlyWarns": "import warnings; warnings.simplefilter('error'); warnings.showwarning = None",
    "EarlyHooks": "import sys, threading; sys.excepthook = threading.excepthook = "
    "sys.unraisablehook = None",
}

INNOCENT = model(
    "import decimal, json, os\nprint('printed')\n"
    "return {'value': [variables, json.loads(json.dumps([1])), str(decimal.Decimal(1) / 3), "
    "os.getcwd() != '/']}"
)
EXPECTED = [{"a": 1}, [1], "0." + "3" * 28, True]


@pytest.fixture(scope="module", params=["true", "false"], ids=["preload", "load in the workers"])
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """One worker with all of these models, so that they can harm each other if anything can."""
    folder = tmp_path_factory.mktemp("faulty")
    models = folder / "models"
    for name, (code, _, _) in RAISING.items():
        write_model(models, name, code)
    for name, code in DISTURBING.items():
        write_model(models, name, model(f"{code}\nreturn {{'value': 1}}"))
    for name, code in AT_IMPORT.items():
        write_model(models, name, model(top=code))
    write_model(models, "Innocent", INNOCENT)
    write_model(
        models, "NotANumber", model("return {'value': [float('nan'), float('inf'), -float('inf')]}")
    )
    settings = {
        "MODELSYNC_WORKERS": "1",
        "MODELSYNC_PRELOAD": request.param,
        "MODELSYNC_PREDICT_TIMEOUT": setting(10),
    }
    with serving(folder, models, **settings) as service:
        client = Client(service)
        yield client
        assert client.leaks() == []
        assert service.stop(30) == 0


def test_what_a_model_raises_is_its_own_requests_500(client: Client) -> None:
    """Type and message, never the traceback: that is in the log under the request id. The worker
    lives on.
    """
    worker = client.worker()
    for name, (_, kind, message) in RAISING.items():
        problem = client.problem(name, 500)
        assert problem["error"] == kind, name
        assert message in problem["detail"], name
        if "TypeError" not in kind and name not in ("Huge", "Evil"):
            [record] = until(partial(logged, client.service, problem["request_id"]))
            assert 'etls.py", line' in record["exception"]
    assert client.worker() == worker


def test_a_huge_result_is_refused_and_its_memory_given_back(client: Client) -> None:
    """100 MB: 500 each time, and the worker does not grow."""
    worker = psutil.Process(client.worker())
    client.problem("Huge", 500)
    before = worker.memory_info().rss
    for _ in range(4):
        client.problem("Huge", 500)
    assert worker.memory_info().rss < before + 50 * 1024**2


def test_not_a_number_is_null(client: Client) -> None:
    """JSON has no word for it."""
    assert client.value("NotANumber") == [None, None, None]


def test_nothing_that_a_model_did_at_import_reaches_another(client: Client) -> None:
    """All of them were loaded, before and after `Innocent`, into one process."""
    for name in AT_IMPORT:
        assert client.value(name) == 1, name
    assert client.value("Innocent", {"a": 1}) == EXPECTED


@pytest.mark.parametrize("name", DISTURBING)
def test_nothing_that_a_model_does_when_called_reaches_another(client: Client, name: str) -> None:
    """Next request, pages and worker are as before; the log is so within a second."""
    worker = client.worker()
    client.post(name)
    if name not in REPAIRED:
        assert client.value("Innocent", {"a": 1}) == EXPECTED
    until(lambda: client.value("Innocent", {"a": 1}) == EXPECTED, 5)
    for path in ("/models/Innocent", "/metrics", "/readyz", "/models/openapi.json", "/models/"):
        assert client.get(path).status_code == 200, path
    assert client.get("/models/nothing").status_code == 404
    assert client.logged(lambda: client.post("Raises"), level="error")
    assert client.logged(lambda: client.get("/livez"), logger="modelsync.access")
    streams = [Path(f"/proc/{worker}/fd/{number}").readlink() for number in (1, 2)]
    assert streams == [client.service.log, client.service.log]
    assert client.worker() == worker


def logged(service: Service, request_id: str) -> list[Record]:
    return service.lines(request_id=request_id, level="error")


def test_what_models_print_is_in_the_log(client: Client) -> None:
    """Even after others have closed the streams."""
    client.value("Closes")
    client.value("Buffers")
    log = Path(client.service.log)
    before = log.read_text().count("printed")
    client.value("Innocent", {})
    until(lambda: log.read_text().count("printed") > before)
