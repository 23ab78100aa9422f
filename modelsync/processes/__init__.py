"""The processes of a running service: supervisor, sync loop, generations with their gunicorn master
and workers.
"""
