"""Git tags as labels of trained models, by GTO's convention: `Churn@v3`, `Churn#stable`.

`Churn#stable#2` is the second assignment of the label, which counts more than the first;
`Churn#stable!#3` takes it away. See https://github.com/iterative/gto.

Each sync writes what the remote has into `home/labels.json`; the trainer gives the labels to
versions, which the catalog holds.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from modelsync.deadline import Deadline
from modelsync.errors import RefNotFound, SyncError
from modelsync.files import as_json, storage, write_atomically
from modelsync.releases.store import Releases
from modelsync.sync.source import Source

FETCHED = 20
"""Commits of tags that one sync fetches, to know the code of the models in them."""

_TAG = re.compile(
    r"(?P<model>[^@#!]+)[@#](?P<label>[A-Za-z0-9][A-Za-z0-9._+-]*)(?P<cancel>!?)(#(?P<count>\d+))?"
)
_NO_LABELS = {"created", "deprecated"}
"""What GTO says of an artefact itself, behind an `@`."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LabelTarget:
    """What a tag leads to: a commit, and the tree hash of the model's folder in it.

    `code` is empty if the commit has no such folder, None if that is not known yet.
    """

    commit: str
    code: str | None = None


Labels = dict[str, dict[str, LabelTarget]]
"""Model -> label -> where its tag leads."""


def parse(tags: Mapping[str, str], subdir: str = "") -> Labels:
    """Make labels of tags (name -> commit); tags of other kinds are ignored.

    `subdir`: the folder of the model folders, which may stand before a model's name.
    """
    newest: dict[tuple[str, str], tuple[int, bool, str]] = {}
    for tag, commit in tags.items():
        found = _TAG.fullmatch(tag)
        if not found or found["label"].isdigit() or found["label"] in _NO_LABELS:
            continue
        model = (
            re.sub(f"^{re.escape(subdir)}[/=]", "", found["model"]) if subdir else found["model"]
        )
        one = (int(found["count"] or 0), bool(found["cancel"]), commit)
        newest[model, found["label"]] = max(one, newest.get((model, found["label"]), one))
    labels: Labels = {}
    for (model, label), (_, cancelled, commit) in sorted(newest.items()):
        if not cancelled:
            labels.setdefault(model, {})[label] = LabelTarget(commit)
    return labels


def read(home: Path) -> Labels | None:
    """The labels of the last sync; None if none has asked for them, or the file is damaged."""
    try:
        found = json.loads((home / "labels.json").read_bytes())
        return {
            model: {label: LabelTarget(**target) for label, target in labels.items()}
            for model, labels in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def record(home: Path, source: Source, deadline: Deadline) -> None:
    """Write the labels of a source. A failure is logged: no sync fails because of a tag."""
    try:
        tags = source.tags(deadline)
        if tags is None:
            return
        before = read(home)
        labels = _with_code(parse(tags, source.view), before or {}, source, deadline)
        if labels != before:
            new = labels.keys() - (before or {}).keys()
            _tell_unknown(filter(source.selection.takes, new), home)
            with storage():
                write_atomically(home / "labels.json", as_json(_as_mappings(labels)))
    except SyncError as error:
        _log.warning("the tags of the repository were not read: %s", error)


def _with_code(labels: Labels, before: Labels, source: Source, deadline: Deadline) -> Labels:
    """The labels with the code of their models; commits that cannot be fetched now are tried again
    by the next sync.
    """
    known = {
        (model, target.commit): target.code
        for model, targets in before.items()
        for target in targets.values()
        if target.code is not None
    }
    unknown = {
        target.commit
        for model, targets in labels.items()
        for target in targets.values()
        if (model, target.commit) not in known
    }
    for commit in sorted(unknown)[:FETCHED]:
        try:
            versions = source.versions(commit, deadline)
        except RefNotFound:  # a tag of a file, for instance
            versions = {}
        except SyncError as error:
            _log.info("the commit %s of a tag cannot be fetched: %s", commit[:12], error)
            continue
        known |= {(model, commit): versions.get(model, "") for model in labels}
    return {
        model: {
            label: LabelTarget(target.commit, known.get((model, target.commit)))
            for label, target in targets.items()
        }
        for model, targets in labels.items()
    }


def _tell_unknown(names: Iterable[str], home: Path) -> None:
    """Log once which tags name no model that is served."""
    current = Releases(home).current()
    for name in sorted(set(names) - set(current.models if current else ())):
        _log.warning("tags name the model %s, which the repository does not have", name)


def _as_mappings(labels: Labels) -> dict[str, dict[str, dict[str, str | None]]]:
    return {
        model: {label: asdict(target) for label, target in targets.items()}
        for model, targets in labels.items()
    }
