"""Migrations of the store's database, in Alembic's form: one file for each step, never changed."""
