"""The tables of the store, as the newest migration leaves them.

Their names begin with ours, because a database may be shared with other programs. Rules
that no crash, race or fault of ours may break are constraints of the database: a version has its
blob, a number is given once, one job of a model runs.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    text,
)

from modelsync.store.columns import JsonText, Moment, Words

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)
"""Every constraint has a name, by which a later migration can change it."""

Sequence = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database counts up; SQLite does so only for its INTEGER."""

revisions = Table(
    "modelsync_revisions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)
"""One row, whose `revision` grows with every change of what serves."""

models = Table(
    "modelsync_models",
    metadata,
    Column("name", Words, primary_key=True),
    Column("last_number", Integer, nullable=False),
    Column("current", Integer),
    Column("highest", Integer, nullable=False),
)
"""`last_number` was given to the newest job; `highest` is the greatest that was ever current."""

contents = Table(
    "modelsync_contents",
    metadata,
    Column("id", Words, primary_key=True),
    Column("location", Words, nullable=False),
    Column("created", Moment, nullable=False),
    Column("doomed", Boolean, nullable=False),
)
"""Bytes that are stored, or being stored: as `chunks`, or as the S3 object `location`. Those that
are `doomed` are being removed.
"""

chunks = Table(
    "modelsync_chunks",
    metadata,
    Column(
        "content", Words, ForeignKey("modelsync_contents.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)

blobs = Table(
    "modelsync_blobs",
    metadata,
    Column("sha256", Words, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("content", Words, ForeignKey("modelsync_contents.id"), nullable=False, unique=True),
    Column("used", Moment, nullable=False),
)
"""Complete contents by their digest. `used`: when they were last put."""

jobs = Table(
    "modelsync_jobs",
    metadata,
    Column("sequence", Sequence, primary_key=True),
    Column("id", Words, nullable=False, unique=True),
    Column("model", Words, ForeignKey("modelsync_models.name"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", Words, nullable=False),
    Column("key", Words, nullable=False),
    Column("named", Boolean, nullable=False),
    Column("params", JsonText, nullable=False),
    Column("input", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("target", Words, nullable=False),
    Column("parent", Integer),
    Column("code", Words, nullable=False),
    Column("commit", Words, nullable=False),
    Column("release", Words, nullable=False),
    Column("fingerprint", Words, nullable=False),
    Column("idempotency_key", Words, nullable=False),
    Column("request_digest", Words, nullable=False),
    Column("webhook", Words, nullable=False),
    Column("options", JsonText, nullable=False),
    Column("state", Words, nullable=False, index=True),
    Column("created", Moment, nullable=False),
    Column("started", Moment),
    Column("ended", Moment),
    Column("heartbeat", Moment),
    Column("owner", Words, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("progress", Float),
    Column("rows", BigInteger),
    Column("message", Words, nullable=False),
    Column("error", JsonText),
    Column("checkpoint", Words, nullable=False),
    Column("cancelling", Boolean, nullable=False),
    Column("verdict", Words, nullable=False),
    Index("ix_modelsync_jobs_model_number", "model", "number", unique=True),
    Index("ix_modelsync_jobs_model_key", "model", "key"),
)
Index(
    "ix_modelsync_jobs_idempotency_key",
    jobs.c.model,
    jobs.c.idempotency_key,
    unique=True,
    sqlite_where=text("idempotency_key <> ''"),
    postgresql_where=text("idempotency_key <> ''"),
)
Index(
    "ix_modelsync_jobs_running",
    jobs.c.model,
    unique=True,
    sqlite_where=text("state = 'running'"),
    postgresql_where=text("state = 'running'"),
)

job_logs = Table(
    "modelsync_job_logs",
    metadata,
    Column("job", Words, ForeignKey("modelsync_jobs.id"), primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("length", Integer, nullable=False),
    Column("text", Words, nullable=False),
)
"""Pieces of logs; `start` and `length` are in characters."""

versions = Table(
    "modelsync_versions",
    metadata,
    Column("model", Words, ForeignKey("modelsync_models.name"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key", Words, nullable=False),
    Column("serializer", Words, nullable=False),
    Column("sha256", Words, ForeignKey("modelsync_blobs.sha256"), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("inputs", JsonText),
    Column("metrics", JsonText, nullable=False),
    Column("libraries", JsonText, nullable=False),
    Column("fingerprint", Words, nullable=False),
    Column("rows", BigInteger),
    Column("call_seconds", Float),
    Column("statistics", JsonText),
    Column("comparison", JsonText),
    Column("created", Moment, nullable=False),
    Column("origin", Words, nullable=False),
    Column("job", Words, nullable=False),
    Column("params", JsonText, nullable=False),
    Column("parent", Integer),
    Column("code", Words, nullable=False),
    Column("commit", Words, nullable=False),
    Column("verdict", Words, nullable=False),
)

promotions = Table(
    "modelsync_promotions",
    metadata,
    Column("sequence", Sequence, primary_key=True),
    Column("model", Words, ForeignKey("modelsync_models.name"), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("created", Moment, nullable=False),
    Column("undone", Boolean, nullable=False),
)
"""Which versions have become current, in order; `undone` by a rollback or a deletion."""

labels = Table(
    "modelsync_labels",
    metadata,
    Column("model", Words, primary_key=True),
    Column("label", Words, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("origin", Words, nullable=False),
    Column("created", Moment, nullable=False),
    ForeignKeyConstraint(
        ["model", "number"],
        ["modelsync_versions.model", "modelsync_versions.number"],
        ondelete="CASCADE",
    ),
)

training_runs = Table(
    "modelsync_training_runs",
    metadata,
    Column("number", Sequence, primary_key=True),
    Column("model", Words, nullable=False),
    Column("date", Date, nullable=False),
    Column("trigger", Words, nullable=False),
    Column("state", Words, nullable=False, index=True),
    Column("step", Words, nullable=False),
    Column("created", Moment, nullable=False),
    Column("started", Moment),
    Column("ended", Moment),
    Column("heartbeat", Moment),
    Column("owner", Words, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("outcome", Words, nullable=False),
    Column("filled", BigInteger),
    Column("source", Words, nullable=False),
    Column("fingerprint", Words, nullable=False),
    Column("code", Words, nullable=False),
    Column("columns", JsonText),
    Column("report", JsonText),
    Column("job", Words, nullable=False),
    Column("version", Integer),
    Column("comparison", JsonText),
    Column("error", JsonText),
    Index("ix_modelsync_training_runs_model_date", "model", "date"),
)
"""One row for each training of a model with the data of a day. A model need not be in `models`."""
Index(
    "ix_modelsync_training_runs_open",
    training_runs.c.model,
    unique=True,
    sqlite_where=text("state in ('waiting', 'running')"),
    postgresql_where=text("state in ('waiting', 'running')"),
)

leases = Table(
    "modelsync_leases",
    metadata,
    Column("name", Words, primary_key=True),
    Column("owner", Words, nullable=False),
    Column("until", Moment, nullable=False),
    Column("done", Moment),
)
"""What one process of all replicas does, such as the schedule, until its lease runs out. `done`: up
to when that has been done, whoever did it.
"""

observations = Table(
    "modelsync_observations",
    metadata,
    Column("model", Words, primary_key=True),
    Column("request_id", Words, primary_key=True),
    Column("version", Integer),
    Column("prediction", JsonText),
    Column("truth", JsonText),
    Column("correct", Float),
    Column("error", Float),
    Column("created", Moment, nullable=False, index=True),
    Column("answered", Moment, index=True),
)
"""Predictions of sampled requests, and the truth that came later; either may come first."""
