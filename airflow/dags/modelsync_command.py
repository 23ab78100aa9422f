"""Runs one step of `modelsync train` as a process, and reads what it prints.

Like the DAGs it imports nothing of modelsync, which has an environment of its own.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


def setting(name: str, default: str = "") -> str:
    """Return a variable of the environment; one that is empty counts as unset."""
    return os.environ.get(name) or default


def setting_as(parse: Callable[[str], T], name: str, default: str, expected: str) -> T:
    """Return a variable as another type. Raises ValueError, which says what is expected."""
    try:
        return parse(setting(name, default))
    except ValueError:
        raise ValueError(f"{name} is {expected}, not {setting(name)!r}") from None


FOLDER = Path(setting("MODELSYNC_AIRFLOW_FOLDER", str(Path(__file__).resolve().parents[2])))
"""Where the command runs: paths in its settings start here, and it reads the file .env here."""

WRONG_USE = (2, 126, 127)
"""Exit codes where trying again is of no use: a wrong setting, and no such command."""

BUSY = 75
"""Exit code if another process works on the model, or the command was told to end."""


class Result(NamedTuple):
    """How a step has ended: the exit code, the last line or the cause of a failure, and how the
    training run stands, as `modelsync train --json` prints it.
    """

    code: int
    said: str
    run: dict[str, Any]

    @property
    def outcome(self) -> str:
        """How the run has ended: promoted, kept or unchanged; empty if it goes on."""
        return self.run.get("outcome") or ""

    @property
    def verdict(self) -> str:
        """Why the new version is not promoted."""
        return (self.run.get("comparison") or {}).get("verdict") or self.said

    @property
    def metrics(self) -> dict[str, Any]:
        """What the new version has reached with the rows that were held out."""
        return (self.run.get("comparison") or {}).get("new") or {}

    @property
    def is_final(self) -> bool:
        """Whether a failure would be the same again: data that breaks its schema, a wrong use."""
        return self.code in WRONG_USE or bool((self.run.get("error") or {}).get("report"))


class TrainCommand:
    """One step of the training of a model with the data of a day."""

    def __init__(self, model: str, date: str, step: str) -> None:
        self._step = step
        self.words = shlex.split(setting("MODELSYNC_AIRFLOW_COMMAND", "modelsync"))
        self.words += ["train", model, "--date", date, "--step", step]
        self.words += ["--trigger", "airflow", "--json"]
        self._process: subprocess.Popen[str] | None = None

    def run(self, tell: Callable[[str], object]) -> Result:
        """Run it to its end, and pass on each line that it prints at once."""
        try:
            self._process = self._start()
        except OSError as error:
            said = f"{self.words[0]} cannot be run in {FOLDER}: {error.strerror}"
            return Result(WRONG_USE[-1], said, {})
        said, run = "", dict[str, Any]()
        for line in self._process.stdout or ():
            event = _parsed(line)
            run = event if "state" in event else run
            if text := str(event.get("message", "") if event else line.rstrip()):
                tell(text)
                said = text.removeprefix("modelsync: ")
        code = self._process.wait()
        if code < 0:
            said = f"the command was ended by {signal.Signals(-code).name}"
        elif code and run.get("error"):
            said = run["error"]["message"].removeprefix(f"{self._step}: ")
        return Result(code, said or f"the command ended with code {code}", run)

    def stop(self) -> None:
        """Tell it to end, if it runs."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*_leash(), *self.words],
            cwd=FOLDER,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )


def _leash() -> tuple[str, ...]:
    """Return the words that make the kernel end a command with the process that has started it."""
    return ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()


def _environment() -> dict[str, str]:
    """Return the environment of the command: modelsync's settings, without those of Airflow, which
    hold secrets, and of the DAGs, which modelsync does not know.
    """
    dropped = ("AIRFLOW__", "MODELSYNC_AIRFLOW_")
    own = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    return {"MODELSYNC_LOG_FORMAT": "text", **own}


def _parsed(line: str) -> dict[str, Any]:
    """Return an object that the command has printed; empty for any other line."""
    with suppress(ValueError):
        found = json.loads(line)
        return found if isinstance(found, dict) else {}
    return {}
