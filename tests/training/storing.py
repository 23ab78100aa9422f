"""A store with versions in it, as jobs would have made them; what tests of this package share."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import cloudpickle

from modelsync import store
from modelsync.settings import Settings, State
from modelsync.store import Store
from modelsync.store.records import Job, NewJob, NewVersion, Version

MOST = 1000


def settings_of(home: Path, **groups: Any) -> Settings:
    """The settings of a state directory."""
    return dataclasses.replace(Settings(), state=State(home=home), **groups)


def open_store(home: Path, **groups: Any) -> Store:
    return store.open(settings_of(home, **groups))


def add(opened: Store, model: str = "Model", **asked: Any) -> Job:
    """A queued job."""
    values = {"kind": "train", "key": "made", **asked}
    job, _ = opened.catalog.add_job(NewJob(model=model, **values), max_waiting=MOST, retrain=True)
    return job


def fitted(
    opened: Store, folder: Path, content: bytes, model: str = "Model", **asked: Any
) -> Version:
    """A version whose artefact has this content, current if it is the newest."""
    job = add(opened, model, **asked)
    owner = f"test:{job.id}"
    assert opened.catalog.claim(owner, concurrency=MOST, id=job.id)
    file = folder / "artefact"
    file.write_bytes(content)
    made = NewVersion("cloudpickle", opened.blobs.put(file), len(content))
    return opened.catalog.finish(job.id, owner, made)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def unpickled(opened: Store, version: Version) -> Any:
    """What a version holds."""
    return cloudpickle.loads(opened.blobs.read(version.made.sha256))
