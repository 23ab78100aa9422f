"""Continuous training: its runs, leases, what was observed; statistics of a version's data."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the tables, and the columns of versions."""
    op.add_column("modelsync_versions", sa.Column("statistics", sa.Text()))
    op.add_column("modelsync_versions", sa.Column("comparison", sa.Text()))
    _make_runs()
    op.create_table(
        "modelsync_leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.Column("done", _TIME),
        sa.PrimaryKeyConstraint("name", name="pk_modelsync_leases"),
    )
    op.create_table(
        "modelsync_observations",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer()),
        sa.Column("prediction", sa.Text()),
        sa.Column("truth", sa.Text()),
        sa.Column("correct", sa.Float()),
        sa.Column("error", sa.Float()),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("answered", _TIME),
        sa.PrimaryKeyConstraint("model", "request_id", name="pk_modelsync_observations"),
    )
    op.create_index("ix_modelsync_observations_created", "modelsync_observations", ["created"])
    op.create_index("ix_modelsync_observations_answered", "modelsync_observations", ["answered"])


def _make_runs() -> None:
    """Make the runs; of each model one may be open."""
    op.create_table(
        "modelsync_training_runs",
        sa.Column("number", _SEQUENCE, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("started", _TIME),
        sa.Column("ended", _TIME),
        sa.Column("heartbeat", _TIME),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("filled", sa.BigInteger()),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("columns", sa.Text()),
        sa.Column("report", sa.Text()),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer()),
        sa.Column("comparison", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("number", name="pk_modelsync_training_runs"),
    )
    op.create_index("ix_modelsync_training_runs_state", "modelsync_training_runs", ["state"])
    op.create_index(
        "ix_modelsync_training_runs_model_date", "modelsync_training_runs", ["model", "date"]
    )
    is_open = sa.text("state in ('waiting', 'running')")
    op.create_index(
        "ix_modelsync_training_runs_open",
        "modelsync_training_runs",
        ["model"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
