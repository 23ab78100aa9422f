"""Schemas of data: reads `schema.yml`, and checks requests against it."""
