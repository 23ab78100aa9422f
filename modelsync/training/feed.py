"""Feeds a fitting process: reads a source and writes an Arrow IPC stream to its pipe."""

from __future__ import annotations

import os
import threading

import pyarrow as pa

from modelsync.data.sources import DataSource
from modelsync.errors import DataInvalid, ModelsyncError
from modelsync.fitting.messages import END


class Feed(threading.Thread):
    """A thread that writes the rows of a source, but the first `skip`, to a descriptor.

    It closes the descriptor at its end, which is also that of the reader: then `error` stays None.
    Else `error` says why the stream broke off, and is the reason of the job's failure whatever the
    reader says. `rows`: how many are written.
    """

    def __init__(self, source: DataSource, fd: int, *, skip: int = 0) -> None:
        super().__init__(name="modelsync-feed", daemon=True)
        self.error: ModelsyncError | None = None
        self.rows = 0
        self._source = source
        self._fd = fd
        self._skip = skip

    def run(self) -> None:
        """Write until the source or the reader ends."""
        try:
            with os.fdopen(self._fd, "wb") as pipe:
                self._write(pipe)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the reader has ended: it says why
        except ModelsyncError as error:
            self.error = error
        except MemoryError:
            self.error = DataInvalid("source: a row, or a row group, is too large for the memory")
        except Exception as error:  # noqa: BLE001  whatever a driver raises is the job's failure
            self.error = DataInvalid(f"source: {type(error).__name__} while it was read")

    def _write(self, pipe: object) -> None:
        batches = self._source.batches(self._skip)
        first = next(batches, None)
        if first is None and not self._skip:
            raise DataInvalid("source: the data is empty: it has no row")
        schema = self._source.schema if first is None else first.schema
        with pa.ipc.new_stream(pipe, schema) as writer:
            while first is not None:
                writer.write_batch(first)
                self.rows += first.num_rows
                del first
                first = next(batches, None)
            writer.write_batch(
                pa.RecordBatch.from_pylist([], schema), custom_metadata={END: str(self.rows)}
            )
