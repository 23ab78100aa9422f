"""The logs of jobs, bounded: of a long one the middle is dropped."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, insert, select

from modelsync.store.database import Database
from modelsync.store.rows import job_row
from modelsync.store.tables import job_logs

LONGEST = 1024**2
"""Characters of a log that are kept: the first half and the last half."""

_PIECE = 16 * 1024
_END = job_logs.c.start + job_logs.c.length


class JobLogs:
    """What jobs have printed. Positions are in characters of all that was ever printed."""

    database: Database

    def log(self, id: str, text: str) -> None:
        """Append to a job's log. Raises UnknownJob."""
        if not text:
            return
        with self.database.writing() as (connection, _):
            job_row(connection, id)
            start = connection.scalar(select(func.max(_END)).where(job_logs.c.job == id)) or 0
            for piece in _pieces(text):
                values = {"job": id, "start": start, "length": len(piece), "text": piece}
                connection.execute(insert(job_logs).values(**values))
                start += len(piece)
            _drop_middle(connection, id, start)

    def read_log(self, id: str, offset: int = 0) -> tuple[str, int]:
        """Return a log from a position on, and the position of its end, from where to read on.

        A line in brackets stands for what was dropped. Raises UnknownJob.
        """
        with self.database.reading() as connection:
            job_row(connection, id)
            query = (
                select(job_logs)
                .where(job_logs.c.job == id, offset < _END)
                .order_by(job_logs.c.start)
            )
            rows = connection.execute(query).all()
        parts = []
        for row in rows:
            if row.start > offset:
                parts.append(f"\n[{row.start - offset} characters were dropped]\n")
                offset = row.start
            parts.append(row.text[offset - row.start :])
            offset = row.start + row.length
        return "".join(parts), offset


def _pieces(text: str) -> list[str]:
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]


def _drop_middle(connection: Connection, id: str, end: int) -> None:
    if end > LONGEST:
        connection.execute(
            delete(job_logs).where(
                job_logs.c.job == id,
                job_logs.c.start >= LONGEST // 2,
                end - LONGEST // 2 >= _END,
            )
        )
