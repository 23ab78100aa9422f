"""The one use case: sync, discover, check, decide, generate, publish.

It leaves a new release that `current` points to, or everything as it was and the reason in
`status.json`. Run as `python -m modelsync.sync.update` by the supervisor, in a process of its own, and
by `modelsync sync`.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from modelsync import settings
from modelsync.clock import now
from modelsync.deadline import Deadline
from modelsync.errors import (
    ModelsyncError,
    NoModels,
    ProbationFailed,
    ReleaseRejected,
    StorageFailed,
    SyncError,
)
from modelsync.files import copy_tree, remove_tree, storage
from modelsync.models.check.checker import check
from modelsync.models.codegen.generator import generate
from modelsync.models.discovery.folders import discover
from modelsync.models.types import CheckResult, Fault, ModelEntry, ModelName, ModelSpec
from modelsync.observability import logs
from modelsync.observability.logs import event
from modelsync.releases.store import Release, Releases, Staging, environment
from modelsync.settings import Settings, child_environment
from modelsync.sync import sources
from modelsync.sync.entries import as_checked, reject_broken, report, same, with_problems
from modelsync.sync.sources import Source, source_of, substitutes
from modelsync.sync.status import (
    Status,
    change_status,
    counted,
    failed,
    read_status,
    rejection,
    succeeded,
)

log = logging.getLogger("modelsync.sync.update")  # also where it runs as __main__

# What no other source cures, or has nothing to do with the repository.
_NOT_AWAY = (NoModels, ReleaseRejected, ProbationFailed, StorageFailed)

FAILED = 75
"""Exit code of an update that failed and has told why; with another one somebody else has to tell.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an update did. `release` is the current one, new or not."""

    result: Literal["published", "unchanged"]
    release: Release

    @property
    def faults(self) -> dict[ModelName, Fault]:
        """The models whose wanted version does not serve, with the reason."""
        return {name: entry.fault for name, entry in self.release.models.items() if entry.fault}


class Updater:
    """Brings the state directory to what the source wants. One runs at a time, held by a lock
    between processes.
    """

    def __init__(self, config: Settings) -> None:
        self._settings = config
        self._home = config.state.home
        self._releases = Releases(self._home)
        self._source = source_of(config)
        self._pin = config.git.revision
        sync = config.sync
        self._environment = environment(self._source.view, sync.on_broken_model, sync.check_timeout)

    def run(self, *, force: bool = False) -> Outcome:
        """Update once. `force` builds the commit again even where it is served, or was rejected,
        already.

        Raises SyncError; then what serves is untouched, and `status.json` says why.
        """
        deadline = Deadline(self._settings.sync.timeout)
        wanted = ""
        try:
            with self._releases.lock(deadline):
                self._releases.sweep(self._settings.sync.keep_releases, self._releases.held())
                try:
                    wanted = self._source.resolve(deadline)
                    outcome = self._update(self._source, wanted, deadline, force=force)
                except SyncError as error:
                    self._substitute(error)
                    raise
                self._tell(
                    outcome, wanted
                )  # before the next one can begin, so that the last one is told last
        except SyncError as error:
            failed(self._home, error, wanted, self._environment)
            raise
        return outcome

    def _substitute(self, error: SyncError) -> None:
        """Where nothing serves and the wanted commit cannot be had: publish what can. The error
        stands all the same.
        """
        if isinstance(error, _NOT_AWAY) or sources.current(self._settings):
            return
        for source in substitutes(self._settings):
            deadline = Deadline(self._settings.sync.timeout)
            try:
                outcome = self._update(source, source.resolve(deadline), deadline, force=False)
            except SyncError as problem:
                log.warning("nothing to start from in the %s: %s", source.kind, problem)
                continue
            event(
                log,
                logging.WARNING,
                f"starts from the {source.kind} until the repository can be reached",
                event="substitute",
                source=source.kind,
                reason=error.reason,
                served=outcome.release.commit,
                release=outcome.release.id,
            )
            return

    def _update(self, source: Source, wanted: str, deadline: Deadline, *, force: bool) -> Outcome:
        current = sources.current(self._settings)
        status = read_status(self._home)
        if not force:
            if current and (wanted, self._environment) in _held(current, status):
                return Outcome("unchanged", current)
            # A pod that is pinned has no other commit to wait for, so it goes on trying.
            if not self._pin and (
                reason := status.rejected.get(rejection(wanted, self._environment))
            ):
                raise ReleaseRejected(f"{wanted[:12]} was rejected before: {reason}")
        release_id = self._releases.next_id(wanted)
        with self._releases.stage() as staging:
            exported = source.export(wanted, staging.models_serve, deadline)
            if not (found := discover(staging.models_serve, exported.versions)):
                raise source.no_models(wanted, deadline)
            folders = with_problems(staging.models_serve, found, exported.problems)
            beside = exported.beside - {f"{folder.name}/" for folder in folders}
            results = self._check(folders, beside, current, status)
            entries = [
                self._decide(folder, results[folder.name], current, staging, release_id)
                for folder in folders
            ]
            report(entries)
            if self._settings.git.on_probation:
                as_checked(entries, self._settings.git.revision)
            if self._settings.sync.on_broken_model == "reject":
                reject_broken(entries)
            if current and not force and same(entries, current):
                return Outcome("unchanged", current)
            release = Release(
                id=release_id,
                commit=exported.commit,
                path=self._home / "releases" / release_id,
                created=now(),
                source=source.kind,
                origin=source.origin,
                environment=self._environment,
                models={entry.name: entry for entry in entries},
            )
            base_url = self._settings.server.base_url
            release = staging.publish(
                release, generate(entries, base_url=base_url, release=release_id)
            )
        self._releases.make_current(release)
        return Outcome("published", release)

    # --- checking ---------------------------------------------------------------------------------

    def _check(
        self,
        folders: Sequence[ModelSpec],
        beside: Set[str],
        current: Release | None,
        status: Status,
    ) -> dict[ModelName, CheckResult]:
        """A result for each folder. A version that serves already is not checked again in the same
        environment.
        """
        same = current and self._environment in {
            environment for _, environment in _held(current, status)
        }
        known = current.models if current and same else {}
        results: dict[ModelName, CheckResult] = {}
        unknown = []
        for folder in folders:
            entry = known.get(folder.name)
            if folder.fault:
                results[folder.name] = CheckResult(folder.name, folder.version, folder.fault)
            elif entry and entry.state == "ready" and entry.version == folder.version:
                results[folder.name] = CheckResult(
                    folder.name,
                    folder.version,
                    None,
                    entry.load_seconds,
                    entry.call_seconds,
                    entry.examples,
                )
            else:
                unknown.append(folder)
        if unknown:
            timeout = self._settings.sync.check_timeout
            found = check(unknown, timeout=timeout, environ=child_environment(), beside=beside)
            results.update((result.name, result) for result in found)
        return results

    def _decide(
        self,
        folder: ModelSpec,
        result: CheckResult,
        current: Release | None,
        staging: Staging,
        release_id: str,
    ) -> ModelEntry:
        """What the new release has for a folder: its new version, its last good one, or the reason
        for neither.
        """
        before = current.models.get(folder.name) if current else None
        entry = ModelEntry(
            name=folder.name,
            state="ready",
            version=folder.version,
            wanted_version=folder.version,
            release=before.release if before and before.version == folder.version else release_id,
            folder=f"models_serve/{folder.name}",
            class_name=folder.class_name,
            writes_self=folder.writes_self,
            is_async=folder.is_async,
            artefact=folder.artefact,
            load_seconds=result.load_seconds,
            call_seconds=result.call_seconds,
            examples=result.examples,
        )
        if result.ok:
            return entry
        if (
            current
            and before
            and before.version
            and self._settings.sync.on_broken_model == "previous"
        ):
            # The release holds all it serves, so that older ones can be removed whenever nobody
            # runs them.
            with storage():
                remove_tree(staging.models_serve / folder.name)
                copy_tree(current.path / before.folder, staging.models_serve / folder.name)
            return replace(before, state="stale", wanted_version=folder.version, fault=result.fault)
        return replace(entry, state="failed", version="", fault=result.fault)

    def _tell(self, outcome: Outcome, wanted: str) -> None:
        event(
            log,
            logging.INFO,
            f"sync: {outcome.result}",
            event="sync",
            result=outcome.result,
            served=wanted,
            release=outcome.release.id,
            models=len(outcome.release.models),
            broken=sorted(outcome.faults),
        )
        succeeded(
            self._home,
            outcome.result,
            wanted=wanted,
            release=outcome.release.id,
            environment=self._environment,
        )


# --- taking back ----------------------------------------------------------------------------------


def reject(config: Settings, release: Release, serving: Release | None, reason: str) -> None:
    """Take a published release back, because no generation of it got ready: `serving` is the
    current one again.
    """
    releases = Releases(config.state.home)
    with releases.lock(Deadline(config.sync.timeout)):
        _take_back(config.state.home, releases, release, serving, reason)


def _take_back(
    home: Path, releases: Releases, release: Release, serving: Release | None, reason: str
) -> None:
    if serving:
        releases.make_current(serving)
    change_status(
        home,
        lambda status: replace(
            counted(status, ReleaseRejected.reason, reason),
            served_commit=serving.commit if serving else "",
            release=serving.id if serving else "",
            environment=serving.environment if serving else "",
            rejected={rejection(release.commit, release.environment): reason},
        ),
    )


def _held(current: Release, status: Status) -> set[tuple[str, str]]:
    """For which commits, in which environments, `current` is known to be just what is wanted.

    What the status says counts only where it speaks of this release: a crash may have left an older
    one.
    """
    held = {(current.commit, current.environment)}
    return (
        held | {(status.served_commit, status.environment)}
        if status.release == current.id
        else held
    )


def main() -> int:
    """Update once; returns the exit code: 0, `FAILED`, or another one where the update could not
    tell why.
    """
    # As an exception, so that every child and every temporary folder is gone when this process is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        config = settings.load()
        logs.configure(config.logs, secrets=logs.secrets_of(config))
        Updater(config).run()
    except SyncError:
        return FAILED
    except ModelsyncError as error:
        log.error("%s", error)
        return 2
    except Exception:  # the edge of an update
        log.exception("unexpected")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
