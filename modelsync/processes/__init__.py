"""The processes of a running service: supervisor, sync loop, generations of gunicorn."""
