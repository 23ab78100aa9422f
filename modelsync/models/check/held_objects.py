"""Finds objects that a model holds and that must not be shared by threads or by forks.

Types are recognised by their names, so nothing is imported for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodType,
    ModuleType,
)
from typing import Any

MAX_OBJECTS = 20_000
"""Objects that are looked at."""

MAX_ITEMS = 1000
"""Items of a container that are looked at."""

MAX_DEPTH = 8

GENERATORS = {
    "numpy.random._generator.Generator",
    "numpy.random.mtrand.RandomState",
    "numpy.random.bit_generator.BitGenerator",
    "random.Random",
    "torch._C.Generator",
}

BOUND_TO_THREADS = {
    "sqlite3.Connection": "a connection of sqlite3",
    "sqlite3.Cursor": "a cursor of sqlite3",
    "psycopg.Connection": "a connection of psycopg",
    "psycopg2.extensions.connection": "a connection of psycopg2",
    "pymysql.connections.Connection": "a connection of pymysql",
    "MySQLdb.connections.Connection": "a connection of MySQLdb",
    "pyodbc.Connection": "a connection of pyodbc",
    "oracledb.connection.Connection": "a connection of oracledb",
    "snowflake.connector.connection.SnowflakeConnection": "a connection of snowflake",
    "duckdb.DuckDBPyConnection": "a connection of duckdb",
    "_duckdb.DuckDBPyConnection": "a connection of duckdb",
    "lmdb.Environment": "an LMDB environment",
    "h5py._hl.files.File": "an open HDF5 file",
    "grpc.ForkChannel": "a gRPC channel",
    "grpc._channel.ForkChannel": "a gRPC channel",
    "pymongo.mongo_client.MongoClient": "a client of MongoDB",
    "pymongo.synchronous.mongo_client.MongoClient": "a client of MongoDB",
    "cassandra.cluster.Cluster": "a client of Cassandra",
    "kafka.producer.kafka.KafkaProducer": "a client of Kafka",
    "smtplib.SMTP": "an SMTP connection",
    "http.client.HTTPConnection": "an HTTP connection",
    "tensorflow.python.client.session.BaseSession": "a session of TensorFlow",
    "apscheduler.schedulers.base.BaseScheduler": "a scheduler (APScheduler)",
    "sched.scheduler": "a scheduler",
    "mmap.mmap": "a memory map that processes share",
}

PROCESSES = {
    "concurrent.futures.process.ProcessPoolExecutor": "a pool of processes",
    "multiprocessing.pool.Pool": "a pool of processes",
    "multiprocessing.managers.BaseManager": "a manager of multiprocessing",
    "multiprocessing.context.BaseContext": "a context of multiprocessing",
    "loky.process_executor.ProcessPoolExecutor": "a pool of processes",
    "subprocess.Popen": "a child process",
    "pexpect.pty_spawn.spawn": "a child process",
}

LOOPS = "asyncio.events.AbstractEventLoop"

SKIPPED = (str, bytes, bytearray, int, float, complex, type(None), type, ModuleType, FunctionType,
           BuiltinFunctionType, CodeType)  # fmt: skip

Found = dict[str, list[str]]


def find(instance: object, modules: Iterable[ModuleType], package: str) -> Found:
    """Return what a model holds, by kind: `generators`, `bound`, `processes`.

    `modules`: those of its folder, whose globals are looked at too. Random generators count where
    the model's own objects hold them; in an object of a library they may be what is left of its
    training.
    """
    found: Found = {"generators": [], "bound": [], "processes": []}
    seen: set[int] = set()
    roots = [(instance, "self", True)]
    for module in modules:
        shown = module.__name__.rpartition(".")[2]
        roots += [
            (value, name if shown == package.rpartition(".")[2] else f"{shown}.{name}", True)
            for name, value in vars(module).copy().items()
            if not name.startswith("__")
        ]
    with suppress(BaseException):  # properties and the like are the model's code
        for value, path, own in islice(_reachable(roots, seen, package), MAX_OBJECTS):
            _classify(value, path, own, found)
    return found


def _reachable(
    waiting: list[tuple[Any, str, bool]], seen: set[int], package: str
) -> Iterator[tuple[Any, str, bool]]:
    """Yield objects with the path to them, breadth first."""
    for _ in range(MAX_DEPTH):
        following: list[tuple[Any, str, bool]] = []
        for value, path, own in waiting:
            is_own_class = isinstance(value, type) and value.__module__.startswith(package)
            if (isinstance(value, SKIPPED) and not is_own_class) or id(value) in seen:
                continue
            seen.add(id(value))
            yield value, path, own
            following += _parts(value, path, own, package)
        waiting = following


def _parts(value: Any, path: str, own: bool, package: str) -> list[tuple[Any, str, bool]]:
    """Return what an object holds: the items of a container, else its attributes."""
    kind = value if isinstance(value, type) else type(value)
    if kind in (dict, list, tuple, set, frozenset) or kind.__name__ in ("deque", "defaultdict"):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        try:
            return [(item, f"{path}[{_short(key)}]", own) for key, item in islice(items, MAX_ITEMS)]
        except RuntimeError:  # another thread changes it
            return []
    if kind is MethodType:
        return [(value.__self__, path, own)]
    inner = own and kind.__module__.startswith(package)
    found = []
    for holder in (getattr(value, "__dict__", None), _slots(value)):
        if isinstance(holder, dict | MappingProxyType):
            for name, item in islice(holder.copy().items(), MAX_ITEMS):
                found.append((item, f"{path}.{name}", inner))
    return found


def _slots(value: Any) -> dict[str, Any]:
    found = {}
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            member = kind.__dict__.get(name)
            if type(member).__name__ == "member_descriptor":
                found[name] = getattr(value, name, None)
    return found


def _short(key: object) -> str:
    text = repr(key) if isinstance(key, str | int) else "…"
    return text if len(text) <= 30 else "…"


def _is_read_only(mapped: Any) -> bool:
    with suppress(ValueError), memoryview(mapped) as view:
        return view.readonly
    return True  # it has been closed


def _classify(value: Any, path: str, own: bool, found: Found) -> None:
    if isinstance(value, type):
        return
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(value).__mro__}
    if own and names & GENERATORS and "random.SystemRandom" not in names:
        found["generators"].append(path)
    if "mmap.mmap" in names and _is_read_only(value):
        return
    for name in names & BOUND_TO_THREADS.keys():
        found["bound"].append(f"{BOUND_TO_THREADS[name]} ({path})")
    for name in names & PROCESSES.keys():
        found["processes"].append(f"{PROCESSES[name]} ({path})")
    if "_thread._local" in names and vars(value):
        found["bound"].append(f"values of the thread that loaded it ({path}: threading.local)")
    if LOOPS in names and not value.is_closed():
        found["bound"].append(f"an event loop ({path})")
