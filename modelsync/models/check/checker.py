"""Checks models in a child process, with a time limit each: what a model does there, it does to
nobody else.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from modelsync.models import diagnosis
from modelsync.models.diagnosis import plain
from modelsync.models.serialization import from_json, to_json
from modelsync.models.types import CheckResult, Fault, FaultStage, ModelName, ModelSpec
from modelsync.observability.redaction import redacted

START_TIMEOUT = 60.0  # seconds a check process may take to start, on a machine that is busy
GRACE = 0.5  # seconds past a model's limit, in which the child still writes down where it hangs
TAIL = 4096  # bytes kept of what the models print
# seconds; how soon the end of a child is seen whose pipes live on in processes it left behind
TICK = 0.1

Progress = Callable[[CheckResult], None]


def check(
    folders: Sequence[ModelSpec],
    *,
    timeout: float,
    environ: Mapping[str, str],
    beside: Collection[str] = (),
    on_progress: Progress | None = None,
) -> list[CheckResult]:
    """Load the models and run their examples; one result for each folder, in their order.

    `timeout`: seconds for loading one model and all its examples. `environ`: the whole environment
    of the child, so without the service's secrets. `beside`: names of what lies near the models,
    but in none of them (`common/`, `shared.py`). `on_progress` is called with each result as it
    comes. A model that does not end or ends the process is broken, the others are checked by a new
    child. No process that a model started in the child's process group outlives the call.
    """
    results: dict[ModelName, CheckResult] = {}

    def record(result: CheckResult) -> None:
        result = replace(result, fault=diagnosis.beside(result.fault, beside))
        results[result.name] = result
        if on_progress:
            on_progress(result)

    for folder in folders:
        if folder.fault:
            record(CheckResult(folder.name, folder.version, folder.fault))
    while waiting := [folder for folder in folders if folder.name not in results]:
        for result in CheckChild(waiting, timeout).run(environ, record):
            record(result)
    return [results[folder.name] for folder in folders]


@dataclass(slots=True)
class CheckChild:
    """One check process and what it has told so far."""

    folders: Sequence[ModelSpec]
    timeout: float
    current: ModelSpec | None = None
    finished: int = 0
    events: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    deadline: float = 0.0

    def run(self, environ: Mapping[str, str], record: Progress) -> list[CheckResult]:
        """Run until all folders are checked or one of them ended the process; the results that
        follow from that.
        """
        with tempfile.TemporaryDirectory(
            prefix="modelsync-check-", ignore_cleanup_errors=True
        ) as scratch:
            trace = Path(scratch, "trace")
            job = Path(scratch, "job.json")
            job.write_bytes(self._job(trace))
            # Models run with a directory of their own as the working directory: what they write
            # there is not kept.
            work = Path(scratch, "work")
            work.mkdir()
            reader, writer = os.pipe()
            with os.fdopen(reader, "rb", buffering=0) as events:
                try:
                    process = subprocess.Popen(
                        [
                            sys.executable,
                            "-P",
                            "-m",
                            "modelsync.models.check.child",
                            str(job),
                            str(writer),
                        ],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        pass_fds=(writer,),
                        env=dict(environ),
                        cwd=work,
                        start_new_session=True,
                    )
                finally:
                    os.close(writer)
                try:
                    in_time = self._listen(process, events.fileno(), record)
                finally:
                    _kill_group(process)
            if self.finished == len(self.folders):
                return []
            return self._lost(
                process.returncode,
                in_time,
                trace.read_text("utf-8", "replace") if trace.exists() else "",
            )

    def _job(self, trace: Path) -> bytes:
        folders = [to_json(replace(folder, path=folder.path.absolute())) for folder in self.folders]
        return orjson.dumps({"timeout": self.timeout, "trace": str(trace), "folders": folders})

    def _listen(self, process: subprocess.Popen[bytes], events: int, record: Progress) -> bool:
        """Follow the child until it is done or dead (true) or out of time (false)."""
        assert process.stdout is not None
        output = process.stdout.fileno()
        self.deadline = time.monotonic() + START_TIMEOUT
        with selectors.DefaultSelector() as selector, process.stdout:
            for number in (events, output):
                os.set_blocking(number, False)
                selector.register(number, selectors.EVENT_READ)
            while self.finished < len(self.folders):
                ended = process.poll() is not None
                for key, _ in selector.select(0 if ended else TICK):
                    if not (chunk := _read(key.fd)):
                        selector.unregister(key.fd)
                    elif key.fd == output:
                        self.tail = (self.tail + chunk)[-TAIL:]
                    else:
                        self._take(chunk, record)
                if ended:
                    # All that it wrote before its end is in the pipes: one more round has read it.
                    self._drain(events, output, record)
                    return True
                if time.monotonic() > self.deadline:
                    return False
        return True

    def _drain(self, events: int, output: int, record: Progress) -> None:
        while chunk := _read(events):
            self._take(chunk, record)
        # A process that the model left behind may write for ever.
        for _ in range(64):
            if not (chunk := _read(output)):
                break
            self.tail = (self.tail + chunk)[-TAIL:]

    def _take(self, chunk: bytes, record: Progress) -> None:
        self.events += chunk
        *lines, rest = self.events.split(b"\n")
        self.events = bytearray(rest)
        for line in lines:
            step = orjson.loads(line)
            if "started" in step:
                self.current = self.folders[self.finished]
                self.deadline = time.monotonic() + self.timeout + GRACE
            else:
                self.current = None
                self.finished += 1
                self.deadline = time.monotonic() + START_TIMEOUT
                record(_result(step["finished"]))

    def _lost(self, code: int, in_time: bool, trace: str) -> list[CheckResult]:
        """What the end of the child says about the model it was at; without one it never started,
        for any model.
        """
        blamed = [self.current] if self.current else self.folders[self.finished :]
        return [
            CheckResult(folder.name, folder.version, self._fault(folder, code, in_time, trace))
            for folder in blamed
        ]

    def _fault(self, folder: ModelSpec, code: int, in_time: bool, trace: str) -> Fault:
        file, line = _place(trace, folder.path.absolute())
        stage: FaultStage = "crash" if in_time else "timeout"
        if not self.current:
            message = "the check process did not start"
        elif in_time:
            message = f"ended the check process with {_ending(code)}"
        else:
            message = f"did not load and answer its examples within {self.timeout:g} s"
        last = plain(
            self.tail.decode("utf-8", "replace").strip().rpartition("\n")[2], folder.path.absolute()
        )
        return Fault(
            stage,
            message,
            file,
            line,
            hint=f"its last output: {last[:200]}" if last and in_time else None,
        )


def _read(number: int) -> bytes:
    """What a pipe holds; empty at its end, and where it holds nothing now."""
    try:
        return os.read(number, 1 << 16)
    except BlockingIOError:
        return b""


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the child and all that its models started in its group; also after it has died itself."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _result(step: dict[str, Any]) -> CheckResult:
    result = from_json(CheckResult, step)
    if result.fault is None:
        return result
    # The child has none of the service's secrets, but its models may have read one elsewhere.
    fault = replace(result.fault, message=redacted(result.fault.message))
    return replace(result, fault=fault)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    hint = ", perhaps for want of memory" if code == -signal.SIGKILL else ""
    return f"signal {-code} ({signal.Signals(-code).name}{hint})"


def _place(trace: str, folder: Path) -> tuple[str | None, int | None]:
    """The innermost line within a folder of what faulthandler wrote (most recent call first)."""
    for parent in (folder, folder.resolve()):
        for name, line in re.findall(r'File "([^"]+)", line (\d+)', trace):
            if Path(name).is_relative_to(parent):
                return str(Path(name).relative_to(parent)), int(line)
    return None, None
