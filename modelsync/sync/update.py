"""Updates the state directory: sync, discover, check, decide, generate, publish.

An update leaves a new release that `current` points to, or leaves everything as it was and writes
the reason into `status.json`. The supervisor runs it as `python -m modelsync.sync.update`, in a
process of its own; so does `modelsync sync`.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from modelsync import orphans, settings
from modelsync.clock import moment, now
from modelsync.deadline import Deadline
from modelsync.environments.builder import Builder
from modelsync.errors import (
    CheckFailed,
    ModelsyncError,
    NoModels,
    NotPinned,
    ProbationFailed,
    ReleaseRejected,
    StorageFailed,
    SyncError,
)
from modelsync.files import storage
from modelsync.models.codegen.generator import generate
from modelsync.models.types import CheckResult, Fault, ModelEntry, ModelName, ModelSpec
from modelsync.observability import logs
from modelsync.observability.logs import event
from modelsync.releases import answers
from modelsync.releases.environment import environment_of
from modelsync.releases.fitted import FittedVersions
from modelsync.releases.store import Release, Releases
from modelsync.settings import Settings
from modelsync.sync import labels, reports, sources, unfit
from modelsync.sync.checks import check_new
from modelsync.sync.compiling import ModelCompiling
from modelsync.sync.plan import (
    apply_policy,
    is_unchanged,
    known_results,
    satisfied,
    to_be_tried_again,
)
from modelsync.sync.source import Source
from modelsync.sync.sources import SingleModel, source_of, substitutes
from modelsync.sync.staged_models import StagedModels
from modelsync.sync.status import Status, read_status, record_failure, record_success, rejection

log = logging.getLogger("modelsync.sync.update")  # also when it runs as __main__

# Another source does not cure these, or they do not come from the repository.
_NOT_AWAY = (NoModels, NotPinned, ReleaseRejected, CheckFailed, ProbationFailed, StorageFailed)

FAILED = 75
"""Exit code of an update that failed and has reported why. After another one the caller reports."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an update did. `release` is the current one, new or not."""

    result: Literal["published", "unchanged"]
    release: Release

    @property
    def told(self) -> Literal["published", "unchanged", "partly"]:
        """The result as people are told it: `partly` where a model is broken."""
        return "partly" if self.faults else self.result

    @property
    def faults(self) -> dict[ModelName, Fault]:
        """The models whose wanted version does not serve, with the reason."""
        return {name: entry.fault for name, entry in self.release.models.items() if entry.fault}


class Updater:
    """Brings the state directory up to date with the source. A file lock lets one run at a time."""

    def __init__(self, config: Settings, source: Source | None = None) -> None:
        self._settings = config
        self._home = config.state.home
        self._releases = Releases(self._home)
        self._source = source or source_of(config)
        self._pin = config.git.revision
        self._builder = Builder.of(config)
        self._environments = self._builder.environments
        self._environment = environment_of(config, self._source.view)
        # A job that fits one model has no use for it.
        compiles = not isinstance(self._source, SingleModel)
        self._compiling = ModelCompiling(config, self._environments) if compiles else None

    def run(self, *, force: bool = False) -> Outcome:
        """Update once. `force`: build the commit again even if it is served or was rejected.

        Raises SyncError; then the current release is untouched, and `status.json` has the reason.
        """
        deadline = Deadline(self._settings.sync.timeout)
        wanted = ""
        try:
            with self._releases.lock(deadline):
                self._releases.sweep(self._settings.sync.keep_releases, self._releases.held())
                self._environments.sweep(self._releases.environments())
                try:
                    wanted = self._source.resolve(deadline)
                    try:
                        outcome = self._update(self._source, wanted, deadline, force=force)
                    finally:
                        labels.record(self._home, self._source, deadline)
                except SyncError as error:
                    self._substitute(error)
                    raise
                # Under the lock, so that the next update cannot report before this one.
                self._report(outcome, wanted)
        except SyncError as error:
            record_failure(self._home, error, wanted, self._environment)
            raise
        return outcome

    def _substitute(self, error: SyncError) -> None:
        """Publish from a substitute source if nothing serves and the repository cannot be reached.

        The sync counts as failed all the same.
        """
        if isinstance(error, _NOT_AWAY) or sources.current(self._settings):
            return
        for source in substitutes(self._settings):
            deadline = Deadline(self._settings.sync.timeout)
            try:
                outcome = self._update(source, source.resolve(deadline), deadline, force=False)
            except SyncError as problem:
                log.warning("nothing to serve in the %s: %s", source.kind, problem)
                continue
            event(
                log,
                logging.WARNING,
                f"serves from the {source.kind} until the repository can be reached",
                event="substitute",
                source=source.kind,
                reason=error.reason,
                served=outcome.release.commit,
                release=outcome.release.id,
            )
            return

    def _update(self, source: Source, wanted: str, deadline: Deadline, *, force: bool) -> Outcome:
        """Build a release of the wanted commit and make it current, unless nothing has changed."""
        current = sources.current(self._settings)
        status = read_status(self._home)
        whole = current and self._environments.has_all(current.environments)
        if not force:
            done = current and (wanted, self._environment) in satisfied(current, status)
            if current and done and whole and not self._has_more(current):
                return Outcome("unchanged", current)
            self._refuse_rejected(wanted, status)
        release_id = self._releases.next_id(wanted)
        with self._releases.stage() as staging:
            staged = StagedModels.of(source, wanted, staging, self._builder, deadline)
            known = (None, Status()) if force else (current, status)
            results = self._check(staged.specs, staged.beside, *known)
            if self._compiling:
                staged, results = self._compiling.compiled(
                    staged, results, current, deadline, again=force
                )
            keep_previous = self._settings.sync.on_broken_model == "previous"
            entries = staged.entries(results, current, release_id, keep_previous=keep_previous)
            reports.broken(entries)
            reports.passed_over(staged.others, current)
            with storage():
                answers.write(staging.path, results.values())
            apply_policy(entries, self._settings)
            if current and whole and not force and is_unchanged(entries, current, staged.others):
                return Outcome("unchanged", current)
            release = Release(
                id=release_id,
                commit=staged.commit,
                path=self._home / "releases" / release_id,
                created=now(),
                source=source.kind,
                origin=source.origin,
                environment=self._environment,
                models={entry.name: entry for entry in entries},
                passed_over=staged.others,
            )
            base_url = self._settings.server.base_url
            code = generate(entries, base_url=base_url, release=release_id)
            release = staging.publish(release, code)
        self._releases.make_current(release)
        reports.compiled(entries)
        return Outcome("published", release)

    def _has_more(self, current: Release) -> bool:
        """Whether the same commit may give more than the current release of it has."""
        compiled = self._compiling is not None and self._compiling.has_more(current)
        return compiled or bool(to_be_tried_again(current))

    def _refuse_rejected(self, wanted: str, status: Status) -> None:
        """Raise ReleaseRejected if an earlier update rejected this commit.

        A pod that is pinned has no other commit to wait for, so it tries again.
        """
        reason = status.rejected.get(rejection(wanted, self._environment))
        if reason and not self._pin:
            raise ReleaseRejected(f"{wanted[:12]} was rejected before: {reason}")

    # --- checking ---------------------------------------------------------------------------------

    def _check(
        self,
        specs: Sequence[ModelSpec],
        beside: Set[str],
        current: Release | None,
        status: Status,
    ) -> dict[ModelName, CheckResult]:
        """Return a result for each model, by name.

        A version that serves already, in the release `current`, is not checked again in the same
        environment.
        """
        checked: Mapping[ModelName, ModelEntry] = {}
        if current and self._environment in {one for _, one in satisfied(current, status)}:
            checked = current.models
        return check_new(
            specs,
            known_results(specs, checked, unfit.known(status, self._environment, moment())),
            current,
            beside=beside,
            timeout=self._settings.sync.check_timeout,
            pythons=self._environments.pythons({spec.environment for spec in specs}),
            fitted=FittedVersions(self._home).serving(),
            mismatch=self._settings.training.mismatch,
        )

    def _report(self, outcome: Outcome, wanted: str) -> None:
        """Log the outcome and write it into the status."""
        event(
            log,
            logging.INFO,
            f"sync: {outcome.told}",
            event="sync",
            result=outcome.told,
            served=wanted,
            release=outcome.release.id,
            models=len(outcome.release.models),
            broken=sorted(outcome.faults),
        )
        record_success(
            self._home,
            outcome.result,
            wanted=wanted,
            release=outcome.release.id,
            environment=self._environment,
        )


def main(arguments: Sequence[str] = ()) -> int:
    """Update once, with `--force` whatever was recorded; end with the process `--parent`.

    Returns the exit code: 0, `FAILED`, or another one if the update has not reported why.
    """
    parser = argparse.ArgumentParser(prog="modelsync.sync.update")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--parent", type=int)
    given = parser.parse_args(arguments)
    # As an exception, so that children and temporary folders are removed before the process ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if given.parent:
        orphans.end_with_parent(signal.SIGTERM, given.parent)
    try:
        config = settings.load()
        logs.configure(config.logs, secrets=logs.secrets_of(config))
        Updater(config).run(force=given.force)
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
    sys.exit(main(sys.argv[1:]))
