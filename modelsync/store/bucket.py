"""Contents of blobs on S3, by Arrow's file system: of Amazon, MinIO, or another server."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from modelsync.errors import ArtifactCorrupt, SettingsError, StoreUnavailable
from modelsync.settings.training import StoreSettings
from modelsync.store.diagnostics import reason

if TYPE_CHECKING:  # Arrow takes a while to load
    from pyarrow.fs import S3FileSystem

_PART = 4 * 1024**2
_CONNECT, _REQUEST = 4.0, 10.0
_TRIES = 3


class Bucket:
    """Contents as objects below `MODELSYNC_ARTIFACTS`. An object is there when it is complete."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._root = parse_root(settings.artifacts) if settings.artifacts else ""
        _check(settings)
        self._systems: dict[tuple[object, ...], S3FileSystem] = {}

    def location(self, content: str, sha256: str) -> str:
        """Return the bucket and the name of a new object, which no other content ever gets."""
        return f"{self._root}/{sha256}.{content}"

    def write(self, content: str, location: str, parts: Iterable[bytes]) -> None:
        """Store an object. Raises StoreUnavailable; then there is none."""
        with _available(), self._system().open_output_stream(location) as stream:
            for part in parts:
                stream.write(part)

    def read(self, content: str, location: str) -> Iterator[bytes]:
        """Return an object in parts. Raises StoreUnavailable, ArtifactCorrupt without it."""
        with _available(), self._system().open_input_stream(location) as stream:
            while part := stream.read(_PART):
                yield part

    def remove(self, content: str, location: str) -> None:
        """Remove an object, if it is there. Raises StoreUnavailable."""
        try:
            with _available():
                self._system().delete_file(location)
        except ArtifactCorrupt:
            return

    def _system(self) -> S3FileSystem:
        """The file system of this process with the keys of now, which may have been rotated."""
        settings = self._settings
        keys = settings.s3_access_key.read(), settings.s3_secret_key.read()
        mine = (os.getpid(), *keys)
        if mine not in self._systems:
            self._systems[mine] = connect(settings, *keys)
        return self._systems[mine]


def parse_root(place: str, setting: str = "MODELSYNC_ARTIFACTS") -> str:
    """Return the bucket and prefix of `s3://bucket/prefix`. Raises SettingsError."""
    url = urlsplit(place)
    if url.scheme != "s3" or not url.netloc or url.query or "@" in url.netloc:
        raise SettingsError(f"{setting} must be s3://bucket or s3://bucket/prefix")
    return f"{url.netloc}{url.path}".strip("/")


def _check(settings: StoreSettings) -> None:
    """Raise SettingsError for settings with which another server than the one meant is asked."""
    endpoint = urlsplit(settings.s3_endpoint)
    if settings.s3_endpoint and (endpoint.scheme not in {"http", "https"} or not endpoint.netloc):
        raise SettingsError(
            "MODELSYNC_S3_ENDPOINT must be a URL such as http://minio:9000 or https://s3.example.org"
        )
    if bool(settings.s3_access_key) != bool(settings.s3_secret_key):
        raise SettingsError("MODELSYNC_S3_ACCESS_KEY and MODELSYNC_S3_SECRET_KEY go together")


def connect(settings: StoreSettings, access: str, secret: str) -> S3FileSystem:
    """Return the file system of the S3 server that the settings name."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    endpoint = urlsplit(settings.s3_endpoint)
    return S3FileSystem(
        access_key=access or None,
        secret_key=secret or None,
        region=settings.s3_region or ("us-east-1" if settings.s3_endpoint else None),
        scheme=endpoint.scheme or "https",
        endpoint_override=endpoint.netloc or None,
        background_writes=False,  # else a server slower than the disk lets a blob fill the memory
        connect_timeout=_CONNECT,
        request_timeout=_REQUEST,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_TRIES),
    )


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ArtifactCorrupt("an artefact is missing on S3") from None
    except ImportError:
        raise StoreUnavailable("artefacts on S3 need pyarrow: install modelsync[data]") from None
    except SettingsError:
        raise StoreUnavailable("the keys for S3 cannot be read from their files") from None
    except (OSError, ValueError) as error:
        if "checksum" in str(error):
            raise ArtifactCorrupt("an artefact is damaged on S3: its checksum differs") from None
        raise StoreUnavailable(
            f"the store of trained models is away: S3 does not answer, {reason(error)}"
        ) from None
