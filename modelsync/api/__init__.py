"""The Flask application: one file per resource, which exports its route, its OpenAPI operation and
its link.
"""
