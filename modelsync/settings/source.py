"""The settings of what is served: the repository, its syncs, its rollout in a cluster.

The first paragraph of a class's docstring is the title of its table in the README.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelsync.settings import parsers
from modelsync.settings.definition import secret, setting
from modelsync.settings.revision import Revision
from modelsync.settings.secret import Secret
from modelsync.settings.selection import EVERY_MODEL, ModelSelection, parse_selection

OnBrokenModel = Literal["previous", "drop", "reject"]


@dataclass(frozen=True, slots=True)
class Git:
    """The repository to follow. Without `gitPath` the service is standalone and serves a
    local folder.
    """

    path: str = setting(
        "gitPath", "", parsers.text, "URL of the repository, https://... or ssh; unset: standalone"
    )
    user: str = setting(
        "usergit",
        "",
        parsers.text,
        "user for HTTPS (with a token: any name, or the one your host asks for)",
    )
    password: Secret = secret(
        "gitpassword", "password or access token for HTTPS; its older name `password` is taken too"
    )
    password_file: Path | None = setting(
        "MODELSYNC_GIT_PASSWORD_FILE",
        None,
        parsers.path,
        "file that holds the password; read again at each sync",
    )
    ref: str = setting("MODELSYNC_GIT_REF", "HEAD", parsers.text, "branch, tag or commit to follow")
    revision: Revision = setting(
        "MODELSYNC_GIT_REVISION",
        Revision(),
        Revision.parse,
        "full hash of a commit to serve instead of the ref's; set by `modelsync rollout`",
    )
    pinned: bool = setting(
        "MODELSYNC_GIT_PINNED",
        False,
        parsers.boolean,
        "serve no other commit than that of MODELSYNC_GIT_REVISION; without one, wait for "
        "`modelsync rollout` to set it",
    )
    proven: Revision = setting(
        "MODELSYNC_GIT_PROVEN",
        Revision(),
        Revision.parse,
        "the last revision that became ready in every pod; another one is served only if no more "
        "models are broken in it than `modelsync rollout` found. What is no full hash is ignored",
    )
    subdir: str = setting(
        "MODELSYNC_GIT_SUBDIR",
        "",
        parsers.subdirectory,
        "folder of the repository that holds the model folders",
    )
    models: ModelSelection = setting(
        "MODELSYNC_GIT_MODELS",
        EVERY_MODEL,
        parse_selection,
        "models to serve, by the names of their folders, separated by commas; or models to leave "
        "out, each with `-` before its name; unset: all. It counts for a local folder too",
    )
    ssh_key_file: Path | None = setting(
        "MODELSYNC_GIT_SSH_KEY_FILE", None, parsers.path, "private key for ssh"
    )
    known_hosts_file: Path | None = setting(
        "MODELSYNC_GIT_KNOWN_HOSTS_FILE",
        None,
        parsers.path,
        "host keys for ssh; an unknown host is never trusted",
    )
    protocols: frozenset[str] = setting(
        "MODELSYNC_GIT_PROTOCOLS",
        frozenset({"https", "ssh"}),
        parsers.protocols,
        "allowed transports; http and file only if named here",
        shown="https,ssh",
    )
    lfs: bool = setting(
        "MODELSYNC_GIT_LFS",
        True,
        parsers.boolean,
        "fetch the files that the models keep in Git LFS, with the same credentials",
    )
    lfs_size: int = setting(
        "MODELSYNC_GIT_LFS_SIZE",
        2 * 1024**3,
        parsers.size,
        "size that the Git LFS files of one model may have together",
        shown="2GiB",
    )
    lfs_url: str = setting(
        "MODELSYNC_GIT_LFS_URL",
        "",
        parsers.lfs_url,
        "URL of the Git LFS server, which gets the credentials; unset: the repository's own. "
        "Needed where it is on another host than the repository",
    )
    cache: Path | None = setting(
        "MODELSYNC_GIT_CACHE",
        None,
        parsers.path,
        "folder that all pods share, with a copy of the repository, its Git LFS files included, to "
        "start from while it cannot be reached",
    )
    fallback: bool = setting(
        "MODELSYNC_GIT_FALLBACK",
        False,
        parsers.boolean,
        "serve the folder MODELSYNC_MODELS while neither the repository nor the cache "
        "can be reached and nothing else serves",
    )

    @property
    def follows(self) -> bool:
        """Whether the ref is followed: not where `modelsync rollout` decides what is served."""
        return not self.revision and not (self.path and self.pinned)

    @property
    def on_probation(self) -> bool:
        """Whether this is a pod of a rollout whose commit has not become ready everywhere yet."""
        return bool(self.revision) and self.revision.commit != self.proven.commit


@dataclass(frozen=True, slots=True)
class Sync:
    """When to look for a new commit, and what to do if a model in it is broken."""

    cron: str = setting(
        "MODELSYNC_SYNC_CRON",
        "0 2 * * *",
        parsers.text,
        'when to sync: a cron expression in local time, "@every 5m", or "off"',
    )
    timeout: float = setting(
        "MODELSYNC_SYNC_TIMEOUT",
        120.0,
        parsers.seconds,
        "time one whole sync may take, retries included",
        shown="120s",
    )
    jitter: float = setting(
        "MODELSYNC_SYNC_JITTER",
        60.0,
        parsers.seconds,
        "a scheduled sync starts up to this much later, so that replicas do not start at once",
        shown="60s",
    )
    on_broken_model: OnBrokenModel = setting(
        "MODELSYNC_ON_BROKEN_MODEL",
        "previous",
        parsers.choice(OnBrokenModel),
        "for a broken model: `previous` keeps its previous version, `drop` leaves it out, "
        "`reject` refuses the whole commit",
    )
    check_timeout: float = setting(
        "MODELSYNC_CHECK_TIMEOUT",
        60.0,
        parsers.seconds,
        "time one model may take to load and run its examples in the check",
        shown="60s",
    )
    keep_releases: int = setting(
        "MODELSYNC_KEEP_RELEASES",
        3,
        parsers.integer(2, 1000),
        "releases kept on disk, the current one included",
    )


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    """The environments that are built of the folders' requirements, in `MODELSYNC_HOME`."""

    timeout: float = setting(
        "MODELSYNC_ENVIRONMENT_TIMEOUT",
        600.0,
        parsers.seconds,
        "time that resolving and building one environment may take, besides the sync's own",
        shown="10m",
    )
    size: int = setting(
        "MODELSYNC_ENVIRONMENT_SIZE",
        10 * 1024**3,
        parsers.size,
        "size of the largest environment, and of what is downloaded for it",
        shown="10GiB",
    )
    prepared: Path | None = setting(
        "MODELSYNC_ENVIRONMENTS",
        None,
        parsers.path,
        "folder with environments that `modelsync environments build` has built beforehand, as in "
        "an image; the service only reads it",
    )


@dataclass(frozen=True, slots=True)
class Rollout:
    """`modelsync rollout`, which brings a new commit to all pods of a Kubernetes Deployment."""

    deployment: str = setting(
        "MODELSYNC_ROLLOUT_DEPLOYMENT", "", parsers.name, "name of the Deployment"
    )
    namespace: str = setting(
        "MODELSYNC_ROLLOUT_NAMESPACE", "", parsers.name, "its namespace", shown="the pod's own"
    )
    state: str = setting(
        "MODELSYNC_ROLLOUT_STATE",
        "",
        parsers.name,
        "name of the ConfigMap that holds the state of the rollouts",
        shown="the Deployment's name with `-rollout`",
    )
    timeout: float = setting(
        "MODELSYNC_ROLLOUT_TIMEOUT",
        900.0,
        parsers.seconds,
        "time one run may take; the next run continues where it ended",
        shown="15m",
    )
    poll: float = setting(
        "MODELSYNC_ROLLOUT_POLL",
        5.0,
        parsers.seconds,
        "`modelsync rollout --follow`: time between two looks at the ref and the Deployment",
        shown="5s",
    )
