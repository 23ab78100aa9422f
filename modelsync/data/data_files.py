"""Which files a source names: in the model's folder or the data folder, never outside; or on S3."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from modelsync.errors import DataInvalid, DataMissing, StoreUnavailable
from modelsync.models import lfs_pointer
from modelsync.settings.training import StoreSettings
from modelsync.store import bucket

Format = Literal["parquet", "csv", "tsv", "json"]

SUFFIXES: dict[str, Format] = {
    ".parquet": "parquet", ".csv": "csv", ".csv.gz": "csv", ".tsv": "tsv", ".tsv.gz": "tsv",
    ".jsonl": "json", ".jsonl.gz": "json", ".ndjson": "json", ".ndjson.gz": "json",
}  # fmt: skip
"""The names of data files; nothing else is read, so that no source shows a secret."""

EXPECTED = "Parquet (.parquet), CSV (.csv, .tsv) or JSON lines (.jsonl), the latter also as .gz"

_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file: `path` is what `filesystem` (pyarrow's) opens, `name` what messages show."""

    filesystem: Any
    path: str
    name: str
    size: int
    changed: float


@dataclass(frozen=True, slots=True)
class DataFiles:
    """The files of a source, all of one format, in the order in which they are read."""

    files: tuple[DataFile, ...]
    format: Format

    @classmethod
    def find(cls, source: str, folder: Path, data: Path, store: StoreSettings) -> DataFiles:
        """Find the files that a source names: a file, a folder or a pattern.

        `folder`, the model's, comes first, then `data`. Raises DataInvalid if there is none, and
        StoreUnavailable if the S3 server does not answer.
        """
        if source.lower().startswith("s3://"):
            found = _objects(source, store)
        else:
            found = _local(source, folder) or _local(source, data)
        if not found:
            where = "" if "://" in source else " in the model's folder or in MODELSYNC_DATA"
            raise DataMissing(f"source: there is no file {source}{where}")
        known = [one for one in found if format_of(one.name)]
        if not known:
            raise DataInvalid(f"source: expected {EXPECTED}, came {found[0].name}")
        formats = {format_of(one.name): one.name for one in known}
        if len(formats) > 1:
            named = " and ".join(list(formats.values())[:2])
            raise DataInvalid(f"source: expected files of one format, came {named}")
        if not any(one.size for one in known):
            raise DataInvalid(f"source: {known[0].name} is empty")
        (kind,) = formats
        assert kind is not None
        return cls(tuple(sorted((one for one in known if one.size), key=_name)), kind)


def format_of(name: str) -> Format | None:
    """Return the format that a file's name tells, None if it is no data file."""
    suffixes = PurePosixPath(name.lower()).suffixes
    return SUFFIXES.get("".join(suffixes[-2:])) or SUFFIXES.get("".join(suffixes[-1:]))


def _name(file: DataFile) -> str:
    return file.name


# --- files of this machine ------------------------------------------------------------------------


def _local(source: str, root: Path) -> list[DataFile]:
    path = PurePosixPath(source)
    if path.is_absolute() or ".." in path.parts or "\\" in source or source.startswith("~"):
        raise DataInvalid(
            f"source: expected a path within the model's folder or MODELSYNC_DATA, came {source}"
        )
    try:
        found = _matches(root, source)
        return [_confined(one, root) for one in found if _is_visible(one, root) and one.is_file()]
    except ValueError as error:  # of a pattern such as `a**b`
        raise DataInvalid(f"source: {source}: {error}") from None
    except OSError as error:
        raise DataInvalid(f"source: {source}: {error.strerror}") from None


def _matches(root: Path, source: str) -> Sequence[Path]:
    place = root / source
    if _MAGIC.search(source) and not place.exists():
        return sorted(root.glob(source))
    return sorted(place.rglob("*")) if place.is_dir() else [place]


def _is_visible(file: Path, root: Path) -> bool:
    """Whether it is none of the files that Spark, pandas and editors write beside the data."""
    return not any(part.startswith((".", "_")) for part in file.relative_to(root).parts)


def _confined(file: Path, root: Path) -> DataFile:
    from pyarrow import fs

    name = str(file.relative_to(root))
    real = file.resolve()
    if not real.is_relative_to(root.resolve()):
        raise DataInvalid(f"source: {name} is a link that leads out of the folder of the data")
    facts = real.stat()
    if facts.st_size < lfs_pointer.LIMIT and lfs_pointer.is_pointer(real.read_bytes()):
        raise DataInvalid(f"source: {name} is a Git LFS pointer: the data itself is not there")
    return DataFile(fs.LocalFileSystem(), str(real), name, facts.st_size, facts.st_mtime)


# --- objects on S3 --------------------------------------------------------------------------------


def _objects(source: str, store: StoreSettings) -> list[DataFile]:
    """Return the objects that `s3://bucket/key` names: one, those of a folder, or of a pattern."""
    from pyarrow import fs

    path = source[len("s3://") :]
    if not path.strip("/") or ".." in path.split("/"):
        raise DataInvalid(f"source: expected s3://bucket/key, came {source}")
    filesystem = bucket.connect(store, store.s3_access_key.read(), store.s3_secret_key.read())
    try:
        if _MAGIC.search(path):
            base = _MAGIC.split(path, maxsplit=1)[0].rpartition("/")[0]
            if not base:
                raise DataInvalid(f"source: expected the name of a bucket, came {source}")
            infos = [
                one
                for one in filesystem.get_file_info(fs.FileSelector(base, recursive=True))
                if fnmatch.fnmatchcase(one.path, path)
            ]
        else:
            infos = [filesystem.get_file_info(path.rstrip("/"))]
            if infos[0].type == fs.FileType.Directory:
                selector = fs.FileSelector(path.rstrip("/"), recursive=True)
                infos = filesystem.get_file_info(selector)
    except OSError as error:
        raise s3_failure(error, source) from None
    return [
        DataFile(filesystem, one.path, f"s3://{one.path}", one.size, _time(one.mtime))
        for one in infos
        if one.type == fs.FileType.File
    ]


def s3_failure(error: OSError, name: str) -> DataInvalid | StoreUnavailable:
    """Return the error to raise for one of pyarrow's: is it the request, or the server?"""
    text = str(error)
    if isinstance(error, FileNotFoundError) or re.search(r"NO_SUCH|NOT_FOUND|does not exist", text):
        return DataMissing(f"source: there is no {name}")
    if re.search(r"ACCESS_DENIED|FORBIDDEN|HTTP 403|PERMISSION|INVALID_ACCESS|SIGNATURE", text):
        return DataInvalid(f"source: the S3 server refuses to read {name} with our credentials")
    return StoreUnavailable(f"the S3 server does not answer for {name}")


def _time(moment: datetime | None) -> float:
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() if moment else 0.0
