"""The files with samples: Parquet in a folder or on S3, rotated, and bounded for each model.

    <samples>/<Model>/<YYYY-MM-DD>/<time>-<host>.parquet

The newest file of this host grows until it is large, and is replaced as a whole each time. Its
metadata names the batch that was added last, so that none is added twice.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType, LocalFileSystem

from modelsync.errors import StorageFailed
from modelsync.monitoring.sample_table import TIME, VERSION, joined, table_of
from modelsync.settings import Settings
from modelsync.store.bucket import connect, parse_root

ROTATE = 2 * 1024**2
"""Bytes from which on a file gets no more samples."""

_BATCH = b"modelsync.batch"


class SampleFiles:
    """The files of all models; this host adds to its own ones only.

    All methods raise StorageFailed if the disk or S3 does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._most = settings.continuous.sample_size
        self._root = settings.continuous.samples
        self._remote = self._root.startswith("s3://")
        if self._remote:
            self._root = parse_root(self._root, "MODELSYNC_SAMPLES")
        else:
            folder = Path(self._root).expanduser() if self._root else None
            self._root = str((folder or settings.state.home / "samples" / "parquet").absolute())
        place = hashlib.sha256(os.fsencode(settings.state.home.absolute())).hexdigest()[:8]
        self._host = f"{re.sub(r'[^A-Za-z0-9.]', '_', socket.gethostname())}_{place}"

    def add(
        self, model: str, batch: str, records: Sequence[Mapping[str, Any]], target: str = ""
    ) -> pa.Table | None:
        """Add the samples of a batch; return their rows, None if they had been added before."""
        with _storage():
            system = self._system()
            own, today = self._own(system, model), datetime.now(UTC).date().isoformat()
            grows = [one for one in own if _day(one) == today][-1:]
            if self._has(system, batch, [*own[-1:], *grows]):
                return None
            before = self._read(system, grows[0]) if grows else None
            last = before if before is not None or not own else self._read(system, own[-1])
            table = table_of(records, last.schema if last is not None else None, target)
            path = f"{self._root}/{model}/{today}/{batch}-{self._host}.parquet"
            whole = table
            if before is not None and grows[0].size < ROTATE:
                path, whole = grows[0].path, joined([before, table])
            self._write(system, path, whole.replace_schema_metadata({_BATCH: batch}))
            self._remove_oldest(system, model)
            return table

    def newest(self, model: str, version: int | None, since: float, most: int) -> pa.Table | None:
        """Return the newest rows of a version that came after a time, oldest first."""
        found: list[pa.Table] = []
        start = pa.scalar(datetime.fromtimestamp(since, UTC), pa.timestamp("us", "UTC"))
        with _storage():
            system = self._system()
            for file in reversed(self._own(system, model)):
                table = self._read(system, file)
                if table is None:
                    continue
                found.insert(0, _of_version(table, version, start))
                if sum(one.num_rows for one in found) >= most:
                    break
        if not found:
            return None
        whole = joined(found)
        return whole.slice(max(0, whole.num_rows - most))

    # --- files ------------------------------------------------------------------------------------

    def _all(self, system: FileSystem, model: str) -> list[FileInfo]:
        """Return the files of a model, the oldest first."""
        selector = FileSelector(f"{self._root}/{model}", allow_not_found=True, recursive=True)
        found = system.get_file_info(selector)
        files = [one for one in found if one.type == FileType.File and one.extension == "parquet"]
        return sorted(files, key=lambda one: (_day(one), one.base_name))

    def _own(self, system: FileSystem, model: str) -> list[FileInfo]:
        return [
            one
            for one in self._all(system, model)
            if one.base_name.endswith(f"-{self._host}.parquet")
        ]

    def _has(self, system: FileSystem, batch: str, files: Sequence[FileInfo]) -> bool:
        """Whether one of these files has a batch already."""
        for file in files:
            with (
                suppress(FileNotFoundError, pa.ArrowInvalid),
                system.open_input_file(file.path) as opened,
            ):
                if (pq.read_schema(opened).metadata or {}).get(_BATCH) == batch.encode():
                    return True
        return False

    def _read(self, system: FileSystem, file: FileInfo) -> pa.Table | None:
        """Read a file; None for one that is damaged, or was removed meanwhile."""
        try:
            with system.open_input_file(file.path) as opened:
                return pq.read_table(opened)
        except (FileNotFoundError, pa.ArrowInvalid):
            return None

    def _write(self, system: FileSystem, path: str, table: pa.Table) -> None:
        """Write a file as a whole: a reader sees the one before, or all of this one."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        data = sink.getvalue()
        if self._remote:
            with system.open_output_stream(path) as stream:
                stream.write(data)
            return
        file = Path(path)
        for folder in (file.parent.parent, file.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in file.parent.glob(f".*{self._host}.parquet.*.tmp"):  # by a collector that died
            left.unlink(missing_ok=True)
        partial = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
        try:
            number = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(number, "wb") as opened:  # noqa: PTH123
                opened.write(data)
                opened.flush()
                os.fsync(opened.fileno())
            partial.replace(file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def _remove_oldest(self, system: FileSystem, model: str) -> None:
        files = self._all(system, model)
        size = sum(one.size for one in files)
        for file in files[:-1]:
            if size <= self._most:
                return
            with suppress(FileNotFoundError):  # another replica was faster
                system.delete_file(file.path)
            size -= file.size
            if not self._remote:
                with suppress(OSError):  # it has other files
                    Path(file.path).parent.rmdir()

    def _system(self) -> FileSystem:
        """The file system, with the keys for S3 of this moment."""
        if not self._remote:
            return LocalFileSystem()
        store = self._settings.store
        return connect(store, store.s3_access_key.read(), store.s3_secret_key.read())


def _day(file: FileInfo) -> str:
    return Path(file.path).parent.name


def _of_version(table: pa.Table, version: int | None, start: pa.Scalar) -> pa.Table:
    import pyarrow.compute as pc

    numbers, times = table.column(VERSION), table.column(TIME)
    wanted = pc.is_null(numbers) if version is None else pc.equal(numbers, version)
    return table.filter(pc.and_(pc.fill_null(wanted, False), pc.greater_equal(times, start)))


@contextmanager
def _storage() -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        number = getattr(error, "errno", None)
        what = os.strerror(number) if number else type(error).__name__
        raise StorageFailed(f"samples cannot be kept: {what}") from error
