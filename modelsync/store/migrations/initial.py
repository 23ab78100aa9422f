"""The first tables: jobs and their logs, versions, labels, blobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make them in an empty database."""
    _make_catalog()
    _make_blobs()
    _make_jobs()
    _make_versions()


def _make_catalog() -> None:
    """Make the models, what was current when, and the counter of changes."""
    revisions = op.create_table(
        "modelsync_revisions",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_modelsync_revisions"),
    )
    op.bulk_insert(revisions, [{"id": 1, "revision": 1}])
    op.create_table(
        "modelsync_models",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.Column("current", sa.Integer()),
        sa.Column("highest", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_modelsync_models"),
    )
    op.create_table(
        "modelsync_promotions",
        sa.Column("sequence", _SEQUENCE, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("undone", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model"],
            ["modelsync_models.name"],
            name="fk_modelsync_promotions_model_modelsync_models",
        ),
        sa.PrimaryKeyConstraint("sequence", name="pk_modelsync_promotions"),
    )
    op.create_index("ix_modelsync_promotions_model", "modelsync_promotions", ["model"])


def _make_blobs() -> None:
    """Make the blobs, and the chunks of those that the database holds."""
    op.create_table(
        "modelsync_contents",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("doomed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_modelsync_contents"),
    )
    op.create_table(
        "modelsync_chunks",
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["content"],
            ["modelsync_contents.id"],
            name="fk_modelsync_chunks_content_modelsync_contents",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("content", "position", name="pk_modelsync_chunks"),
    )
    if op.get_context().dialect.name == "postgresql":  # models hardly compress, and it costs time
        op.execute("ALTER TABLE modelsync_chunks ALTER COLUMN data SET STORAGE EXTERNAL")
    op.create_table(
        "modelsync_blobs",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("used", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["content"],
            ["modelsync_contents.id"],
            name="fk_modelsync_blobs_content_modelsync_contents",
        ),
        sa.PrimaryKeyConstraint("sha256", name="pk_modelsync_blobs"),
        sa.UniqueConstraint("content", name="uq_modelsync_blobs_content"),
    )


def _make_jobs() -> None:
    """Make the jobs and their logs."""
    op.create_table(
        "modelsync_jobs",
        sa.Column("sequence", _SEQUENCE, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("named", sa.Boolean(), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("parent", sa.Integer()),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("commit", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("webhook", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("started", _TIME),
        sa.Column("ended", _TIME),
        sa.Column("heartbeat", _TIME),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Float()),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("checkpoint", sa.Text(), nullable=False),
        sa.Column("cancelling", sa.Boolean(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model"], ["modelsync_models.name"], name="fk_modelsync_jobs_model_modelsync_models"
        ),
        sa.PrimaryKeyConstraint("sequence", name="pk_modelsync_jobs"),
        sa.UniqueConstraint("id", name="uq_modelsync_jobs_id"),
    )
    op.create_index("ix_modelsync_jobs_state", "modelsync_jobs", ["state"])
    op.create_index("ix_modelsync_jobs_model_key", "modelsync_jobs", ["model", "key"])
    op.create_index(
        "ix_modelsync_jobs_model_number", "modelsync_jobs", ["model", "number"], unique=True
    )
    _make_unique(
        "ix_modelsync_jobs_idempotency_key", ["model", "idempotency_key"], "idempotency_key <> ''"
    )
    _make_unique("ix_modelsync_jobs_running", ["model"], "state = 'running'")
    op.create_table(
        "modelsync_job_logs",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job"], ["modelsync_jobs.id"], name="fk_modelsync_job_logs_job_modelsync_jobs"
        ),
        sa.PrimaryKeyConstraint("job", "start", name="pk_modelsync_job_logs"),
    )


def _make_unique(name: str, columns: list[str], rows: str) -> None:
    where = sa.text(rows)
    op.create_index(
        name, "modelsync_jobs", columns, unique=True, sqlite_where=where, postgresql_where=where
    )


def _make_versions() -> None:
    """Make the versions and their labels."""
    op.create_table(
        "modelsync_versions",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("serializer", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("inputs", sa.Text()),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("libraries", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("call_seconds", sa.Float()),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("parent", sa.Integer()),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("commit", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model"],
            ["modelsync_models.name"],
            name="fk_modelsync_versions_model_modelsync_models",
        ),
        sa.ForeignKeyConstraint(
            ["sha256"],
            ["modelsync_blobs.sha256"],
            name="fk_modelsync_versions_sha256_modelsync_blobs",
        ),
        sa.PrimaryKeyConstraint("model", "number", name="pk_modelsync_versions"),
    )
    op.create_index("ix_modelsync_versions_sha256", "modelsync_versions", ["sha256"])
    op.create_table(
        "modelsync_labels",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "number"],
            ["modelsync_versions.model", "modelsync_versions.number"],
            name="fk_modelsync_labels_model_modelsync_versions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("model", "label", name="pk_modelsync_labels"),
    )
