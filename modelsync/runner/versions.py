"""The fitted versions of one model that a runner has loaded, and the workers that hold them.

A version is loaded once for all workers, beside those that are called meanwhile, and closed when
none has held it for a while.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from time import monotonic, sleep

from modelsync import json_text
from modelsync.errors import ModelBroken, ModelsyncError, Overloaded
from modelsync.inference.interrupt import CallTimeout
from modelsync.inference.messages import Call
from modelsync.inference.reclaim import reclaim
from modelsync.inference.runners import InProcessRunner
from modelsync.inference.threads import start_thread
from modelsync.models.isolation import patches
from modelsync.models.loading import loader
from modelsync.models.serialization import from_json, to_json
from modelsync.models.types import Fault
from modelsync.models.versions import FittedVersion
from modelsync.runner.connection import WorkerConnection
from modelsync.runner.reports import described
from modelsync.runner.served_model import ServedModel
from modelsync.runner.watch import MainThreadWatch

LIMIT = 30.0
"""Seconds after which a version that is being replaced is closed although a call of it goes on."""

SETTLE = 5.0
"""Seconds without a holder after which a version is closed: a worker may be about to come back."""

PAUSE = 0.05
"""Seconds between two looks whether a version is still being called."""

LATE = Fault("timeout", "it has not been loaded and started in time", transient=True)

Loaded = InProcessRunner | Fault
Reply = Callable[[bytes], None]


class ServedVersions:
    """The versions of one model by their numbers, 0 for none; all methods run in the main thread.

    `main_thread`: a version is loaded, started and stopped there, as it is called there. `post`
    runs something in the main thread. `prepare` makes a runner ready to be called here.
    """

    def __init__(
        self,
        first: InProcessRunner,
        make: Callable[[InProcessRunner], ServedModel],
        prepare: Callable[[InProcessRunner], None],
        post: Callable[[Callable[[], None]], None],
        watch: MainThreadWatch,
        *,
        main_thread: bool,
    ) -> None:
        self._template = first
        self._make = make
        self._prepare = prepare
        self._post = post
        self._watch = watch
        self._main_thread = main_thread
        self._latest = _number_of(first)
        self._served = {self._latest: make(first)}
        self._loading: dict[int, list[Reply]] = {}
        self._holders: dict[int, set[WorkerConnection]] = defaultdict(set)

    def find(self, version: int) -> ServedModel | None:
        """Return a version that is loaded."""
        return self._served.get(version)

    def wait(self, version: int, call: Callable[[], None]) -> bool:
        """Make a call once a version has been loaded, or has failed to; false if none loads it."""
        if (waiting := self._loading.get(version)) is None:
            return False
        waiting.append(lambda _: call())
        return True

    def stop(self) -> None:
        """Have all versions stop, as the process ends."""
        for one in self._served.values():
            one.stop()

    # --- loading ----------------------------------------------------------------------------------

    def load(self, call: Call, holder: WorkerConnection, reply: Reply) -> None:
        """Load a version unless it is, and keep it for a worker; `reply` gets the outcome."""
        version = call.version
        self._holders[version].add(holder)
        self._latest = version
        if (served := self._served.get(version)) is not None:
            reply(json_text.dump_lossy(described(served.model)))
        elif (waiting := self._loading.get(version)) is not None:
            waiting.append(reply)
        else:
            self._loading[version] = [reply]
            found = json_text.loads(call.payloads[0])["version"]
            wanted = from_json(FittedVersion, found) if found else None
            self._start(version, wanted, call.deadline)

    def _start(self, version: int, wanted: FittedVersion | None, deadline: float) -> None:
        if self._main_thread:
            self._take(version, self._load_here(wanted, deadline))
            return
        try:
            start_thread(partial(self._load_in_thread, version, wanted, deadline), "modelsync-load")
        except Overloaded as error:
            self._take(version, Fault("load", str(error), transient=True))

    def _load_in_thread(self, version: int, wanted: FittedVersion | None, deadline: float) -> None:
        """Load a version in another thread; one that hangs must not keep other models waiting."""
        ended = threading.Event()

        def load() -> None:
            found = self._load(wanted)
            ended.set()
            self._post(lambda: self._take(version, found))

        start_thread(load, "modelsync-load-version")
        if not ended.wait(max(0.0, deadline - monotonic())):
            loader.give_up_turn()
            self._post(lambda: self._take(version, LATE))

    def _load_here(self, wanted: FittedVersion | None, deadline: float) -> Loaded:
        """Load a version in the main thread, where the watch interrupts it if it hangs."""
        watch = self._watch
        watch.deadline = deadline
        watch.calls += 1
        watch.calling = self._template.name
        try:
            return self._load(wanted)
        except CallTimeout:
            return LATE
        finally:
            watch.calling = ""
            if watch.fired:
                watch.disarm()

    def _load(self, wanted: FittedVersion | None) -> Loaded:
        try:
            runner = self._template.fitted(wanted)
            patches.install()  # again, for what it has imported
            runner.hide_loop = False
            self._prepare(runner)
            runner.warm_up()
        except ModelBroken as error:
            return error.fault if isinstance(error.fault, Fault) else Fault("load", str(error))
        except ModelsyncError as error:
            return Fault("load", str(error))
        return runner

    def _take(self, version: int, found: Loaded) -> None:
        """Answer those who wait for a version, and call it from now on."""
        replies = self._loading.pop(version, [])
        if isinstance(found, Fault):
            said = json_text.dump_lossy({"fault": to_json(found)})
        else:
            self._served[version] = served = self._make(found)
            said = json_text.dump_lossy(described(served.model))
            self._close_unheld()
        for reply in replies:
            reply(said)

    # --- closing ----------------------------------------------------------------------------------

    def release(self, version: int, holder: WorkerConnection) -> None:
        """A worker holds a version no more."""
        self._holders[version].discard(holder)
        self._close_unheld()

    def disconnected(self, holder: WorkerConnection) -> None:
        """A worker has gone."""
        for version, holders in list(self._holders.items()):
            if holder in holders:
                self.release(version, holder)

    def _close_unheld(self) -> None:
        """Close the versions that nobody holds, in a while."""
        for version in list(self._served):
            if version != self._latest and not self._holders[version]:
                start_thread(partial(self._settle, version), "modelsync-settle")

    def _settle(self, version: int) -> None:
        sleep(SETTLE)
        self._post(partial(self._close_if_unheld, version))

    def _close_if_unheld(self, version: int) -> None:
        if version == self._latest or self._holders[version]:
            return
        if served := self._served.pop(version, None):
            del self._holders[version]
            if self._main_thread:
                _close(served)
            else:
                start_thread(lambda: _close_when_idle(served), "modelsync-close")


def _close_when_idle(served: ServedModel) -> None:
    deadline = monotonic() + LIMIT
    while served.busy and monotonic() < deadline:
        sleep(PAUSE)
    _close(served)


def _close(served: ServedModel) -> None:
    served.stop()
    served.close()
    reclaim()


def _number_of(runner: InProcessRunner) -> int:
    fitted = runner.model.fitted
    return fitted.number if fitted else 0
