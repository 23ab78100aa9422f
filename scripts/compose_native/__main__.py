"""`make compose-native`: runs the set of docker-compose.yml as processes of this machine until
Ctrl-C.

Variables are those of docker-compose.yml (compose/env.example), from `.env` or the environment:
`AIRFLOW_REPLICAS=0 make compose-native` goes without Airflow, `HTTP_PORT=0` takes a free port.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from scripts.compose_native.definition import ROOT, read, variables
from scripts.compose_native.places import LOOPBACK, Places
from scripts.compose_native.process_set import ProcessSet, StartFailed
from scripts.compose_native.programs import CannotRun

_PAUSE = 0.5


def main() -> int:
    """The exit code: 0 after Ctrl-C or SIGTERM, 1 if the set could not be started."""
    parser = argparse.ArgumentParser(prog="compose-native", description=__doc__)
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / ".modelsync" / "compose",
        help="what the processes keep: data, secrets, logs (default: %(default)s)",
    )
    folder: Path = parser.parse_args().folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _tell(f"another run uses {folder}")
            return 1
        return _run(folder)


def _run(folder: Path) -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    services = read(variables())
    places = Places(folder, services)
    processes = ProcessSet(services, places, lambda name, state: _tell(f"{name}: {state}"))
    state = folder / "processes.json"
    state.unlink(missing_ok=True)  # of a run that was killed
    try:
        processes.start()
        _write(state, processes, places)
        _tell(_summary(places, services.keys()))
        while True:
            for name, code in processes.ended():
                _tell(f"{name}: ended with {code}; see {folder}/logs/{name}.log")
            time.sleep(_PAUSE)
    except KeyboardInterrupt:
        return 0
    except (StartFailed, CannotRun, subprocess.CalledProcessError) as error:
        _tell(str(error))
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave some of them
        _tell("stopping")
        processes.stop()
        state.unlink(missing_ok=True)


def _write(state: Path, processes: ProcessSet, places: Places) -> None:
    """Tell other programs, as JSON, which processes there are and where they listen."""
    found = {
        name: {"pid": pid, "ports": places.ports(name)} for name, pid in processes.pids.items()
    }
    new = state.with_suffix(".new")
    new.write_text(json.dumps(found, indent=2), "utf-8")
    new.rename(state)


def _summary(places: Places, names: object) -> str:
    lines = [
        f"all healthy: modelsync at http://{LOOPBACK}:{places.port('nginx', 8080)}",
        f"its token for training: {places.folder}/secrets/modelsync/train_tokens",
    ]
    if "airflow" in names:  # type: ignore[operator]
        lines += [
            f"Airflow at http://{LOOPBACK}:{places.port('nginx', 8081)}, user admin, "
            f"password: {places.folder}/secrets/airflow/password"
        ]
    return "\n".join([*lines, "Ctrl-C ends it"])


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
