"""Errors of the service: of syncs, releases, the cluster and models."""

from __future__ import annotations

from typing import ClassVar

from modelsync.errors.base import ModelsyncError

# --- syncs ----------------------------------------------------------------------------------------


class SyncError(ModelsyncError):
    """A sync did not publish a new release; the last good one continues to serve.

    `reason` is the label of `modelsync_sync_failures_total`. A retry makes sense only if
    `transient` is true.
    """

    reason = "sync"
    transient: ClassVar[bool] = False


class RemoteUnreachable(SyncError):
    """The remote cannot be reached: DNS, connection, reset, or a server error of the remote."""

    reason = "unreachable"
    transient = True


class SyncTimeout(SyncError):
    """The deadline of the whole sync has passed."""

    reason = "timeout"


class AuthFailed(SyncError):
    """The remote has refused the credentials (401, 403, SSH key)."""

    reason = "auth"


class UntrustedRemote(SyncError):
    """TLS verification has failed, or the SSH host key is unknown or has changed."""

    reason = "untrusted"


class RefNotFound(SyncError):
    """The branch, tag or commit does not exist; an empty repository has none."""

    reason = "ref"


class NotPinned(SyncError):
    """Only a pinned commit may be served, and none is pinned yet, or by a text that names none."""

    reason = "not_pinned"


class MirrorCorrupt(SyncError):
    """The local mirror is damaged; a sync rebuilds it once before it raises this."""

    reason = "corrupt"


class StorageFailed(SyncError):
    """The state directory is full or read-only."""

    reason = "storage"


class NoModels(SyncError):
    """The commit has no model folder, so it is not published."""

    reason = "no_models"


class ObjectUnavailable(ModelsyncError):
    """A file of Git LFS cannot be had now: a fault that may pass of the models that need it.

    `away`: no server answers, so asking for the next one is in vain too. `tries_again`: the same
    request may succeed in a moment, but not before `pause` seconds.
    """

    reason = "lfs"

    def __init__(
        self, message: str, *, away: bool = False, tries_again: bool = False, pause: float = 0.0
    ) -> None:
        super().__init__(message)
        self.away = away
        self.tries_again = tries_again or away
        self.pause = pause


class ObjectAltered(ObjectUnavailable):
    """The server has other bytes than those whose SHA-256 stands in the commit."""


class ReleaseRejected(SyncError):
    """A model is broken and the policy is `reject`, or the generation did not become ready."""

    reason = "rejected"


class ProbationFailed(SyncError):
    """A model that was good when `modelsync rollout` checked the commit is broken in this pod."""

    reason = "trial"


class UpdateDied(SyncError):
    """The update's process was killed, ran out of memory, or met a bug of modelsync."""

    reason = "died"


class CheckFailed(SyncError):
    """The policy is `reject`, and a model is broken for a reason that may pass: checked again."""

    reason = "check"


class GenerationFailed(SyncError):
    """The new release's processes were killed, or late, while they started: started again."""

    reason = "not_ready"


class ResourcesExhausted(SyncError):
    """The machine has no process, thread, descriptor or memory left for the sync."""

    reason = "resources"


class ReleaseUnreadable(ModelsyncError):
    """A release on disk is missing, damaged, or written by another version of modelsync."""

    reason = "release"


# --- the cluster ----------------------------------------------------------------------------------


class ClusterUnreachable(ModelsyncError):
    """The API server did not answer, or answered wrongly; the change may have been made."""

    reason = "cluster"


class Conflict(ModelsyncError):
    """The object has changed since it was read: read it again, and decide again."""

    reason = "conflict"


# --- a model --------------------------------------------------------------------------------------


class ModelBroken(ModelsyncError):
    """A model folder cannot be loaded; `fault` holds the place and the reason."""

    reason = "model"

    def __init__(self, fault: object) -> None:
        super().__init__(str(fault))
        self.fault = fault
