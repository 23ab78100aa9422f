"""One check process, seen from its parent: started, listened to, and ended with all it started."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelsync import bootstrap
from modelsync.models import diagnosis
from modelsync.models.serialization import from_json, to_json
from modelsync.models.types import CheckResult, Fault, FaultStage, ModelSpec
from modelsync.models.versions import FittedVersion
from modelsync.observability.redaction import redacted

START_TIMEOUT = 60.0
"""Seconds that a check process may take to start, on a machine that is busy."""

LONGEST = 4
"""Time limits of a model that its check may take: its examples, trials, and a second load."""

TAIL = 4096
"""Bytes that are kept of the models' output."""

TICK = 0.1
"""Seconds between two looks at the child: processes that it left behind may keep its pipes open."""

MAX_HINT = 200
"""Characters of a model's last output in a hint."""

Progress = Callable[[CheckResult], None]

Checked = tuple[ModelSpec, CheckResult]
"""A model and the result of its check."""


@dataclass(slots=True)
class CheckProcess:
    """One check process, and what it has reported so far.

    `python`: that of the models' environment; None for the service's own. `together`: whether at
    last all models that share the workers are checked beside each other: `specs`, those that are
    `new` and were checked in other processes, and those that are `served` already. `fitted`:
    the versions with which trained models serve. `moved`: those that must not run in the workers
    because of others, with the reason. `group`: the process group
    of the model that is being checked. `stopped`: another thread sets it to have the process
    killed.
    """

    specs: Sequence[ModelSpec]
    timeout: float
    python: Path | None = None
    served: Sequence[Checked] = ()
    new: Sequence[Checked] = ()
    together: bool = True
    fitted: Mapping[str, FittedVersion] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    current: ModelSpec | None = None
    finished: int = 0
    done: bool = False
    stopped: bool = False
    group: int = 0
    events: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    deadline: float = 0.0

    def run(self, environ: Mapping[str, str], record: Progress) -> list[CheckResult]:
        """Run until the child has checked all models, or one of them has ended it.

        Passes what the child reports to `record`, and returns the results that follow from its end.
        """
        with tempfile.TemporaryDirectory(
            prefix="modelsync-check-", ignore_cleanup_errors=True
        ) as name:
            scratch = Path(name)
            trace = scratch / "trace"
            reader, writer = os.pipe()
            with os.fdopen(reader, "rb", buffering=0) as events:
                try:
                    process = self._start(scratch, trace, writer, environ)
                finally:
                    os.close(writer)
                try:
                    in_time = self._listen(process, events.fileno(), record)
                finally:
                    self._kill(process)
            if self.finished == len(self.specs):
                return []
            stack = trace.read_text("utf-8", "replace") if trace.exists() else ""
            return self._lost(process.returncode, in_time, stack)

    def _start(
        self, scratch: Path, trace: Path, events: int, environ: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start the check process, in a session and a working directory of its own."""
        job = scratch / "job.json"
        job.write_bytes(self._job(trace))
        # The working directory is empty, and removed afterwards with all that models write there.
        work = scratch / "work"
        work.mkdir()
        return subprocess.Popen(
            [
                *bootstrap.command(self.python, "modelsync.models.check.child"),
                str(job),
                str(events),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(events,),
            env=bootstrap.ONE_THREAD | bootstrap.environment(self.python, environ),
            cwd=work,
            start_new_session=True,
        )

    def _job(self, trace: Path) -> bytes:
        models = [to_json(spec.below(Path())) for spec in self.specs]
        job = {
            "parent": os.getpid(),
            "timeout": self.timeout,
            "trace": str(trace),
            "models": models,
            "served": [_checked_to_json(*one) for one in self.served],
            "new": [_checked_to_json(*one) for one in self.new],
            "together": self.together,
            "fitted": {name: to_json(version) for name, version in self.fitted.items()},
        }
        return json.dumps(job).encode()

    def _listen(self, process: subprocess.Popen[bytes], events: int, record: Progress) -> bool:
        """Read from the child until it is done or dead (True) or out of time (False)."""
        assert process.stdout is not None
        output = process.stdout.fileno()
        self.deadline = time.monotonic() + START_TIMEOUT
        with selectors.DefaultSelector() as selector, process.stdout:
            for number in (events, output):
                os.set_blocking(number, False)
                selector.register(number, selectors.EVENT_READ)
            while not self.done:
                ended = process.poll() is not None
                for key, _ in selector.select(0 if ended else TICK):
                    if not (chunk := _read(key.fd)):
                        selector.unregister(key.fd)
                    elif key.fd == output:
                        self.tail = (self.tail + chunk)[-TAIL:]
                    else:
                        self._take(chunk, output, record)
                if ended:
                    # All that it wrote before its end is in the pipes; one more round reads it.
                    self._drain(events, output, record)
                    return True
                if self.stopped or time.monotonic() > self.deadline:
                    return False
        return True

    def _drain(self, events: int, output: int, record: Progress) -> None:
        while chunk := _read(events):
            self._take(chunk, output, record)
        self._read_tail(output)

    def _read_tail(self, output: int) -> None:
        # Not to the end: a process that the model left behind may write for ever.
        for _ in range(64):
            if not (chunk := _read(output)):
                break
            self.tail = (self.tail + chunk)[-TAIL:]

    def _take(self, chunk: bytes, output: int, record: Progress) -> None:
        """Record the steps that the child has reported; set the deadline of the next one."""
        self.events += chunk
        if b"\n" not in chunk:
            return
        *lines, rest = self.events.split(b"\n")
        self.events = bytearray(rest)
        for line in lines:
            step = json.loads(line)
            if "started" in step:
                self.current, self.group = self.specs[self.finished], step["group"]
                self.tail.clear()
                self.deadline = time.monotonic() + LONGEST * self.timeout + START_TIMEOUT
                continue
            if "together" in step:
                self.deadline = time.monotonic() + step["together"] + START_TIMEOUT
                continue
            if "done" in step:
                self.done, self.moved = True, step["moved"]
                continue
            if lost := step.get("lost"):
                self._read_tail(output)
                [result] = self._lost(lost["code"], lost["in_time"], lost["trace"])
            else:
                result = _result(step["finished"])
            self.current = None
            self.finished += 1
            self.deadline = time.monotonic() + START_TIMEOUT
            record(result)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the child and all that its models started in their groups, if they still run."""
        for group in (self.group, process.pid):
            if group:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)
        process.wait()

    def _lost(self, code: int, in_time: bool, trace: str) -> list[CheckResult]:
        """Return the results that follow from the end of the child.

        They blame the model that was being checked. Without one the child did not start, and all
        models that are left get that fault.
        """
        blamed = [self.current] if self.current else self.specs[self.finished :]
        return [
            CheckResult(spec.name, spec.version, self._fault(spec, code, in_time, trace))
            for spec in blamed
        ]

    def _fault(self, spec: ModelSpec, code: int, in_time: bool, trace: str) -> Fault:
        file, line = diagnosis.crash_place(trace, spec)
        stage: FaultStage = "crash" if in_time else "timeout"
        if not self.current:
            message = "the check process did not start"
        elif in_time:
            message = f"ended the check process with {_ending(code)}"
        else:
            message = f"did not load and answer its examples within {self.timeout:g} s"
        output = self.tail.decode("utf-8", "replace").strip()
        last = diagnosis.plain(output.rpartition("\n")[2], spec)
        hint = f"its last output: {last[:MAX_HINT]}" if last and in_time else None
        # Killed, mostly for want of memory; too slow, perhaps since the machine was busy.
        transient = not self.current or not in_time or code == -signal.SIGKILL
        return Fault(stage, message, file, line, hint, transient=transient)


def _checked_to_json(spec: ModelSpec, result: CheckResult) -> dict[str, Any]:
    spec = spec.below(Path())
    return {"spec": to_json(spec), "result": to_json(result)}


def _read(number: int) -> bytes:
    """Return the bytes in a pipe; empty at its end, and if it holds none now."""
    try:
        return os.read(number, 1 << 16)
    except BlockingIOError:
        return b""


def _result(values: dict[str, Any]) -> CheckResult:
    result = from_json(CheckResult, values)
    if result.fault is None:
        return result
    # The child has none of the service's secrets, but its models may have read one elsewhere.
    fault = replace(result.fault, message=redacted(result.fault.message))
    return replace(result, fault=fault)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    hint = ", perhaps because memory ran out" if code == -signal.SIGKILL else ""
    return f"signal {-code} ({signal.Signals(-code).name}{hint})"
