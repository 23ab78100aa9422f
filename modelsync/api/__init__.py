"""The Flask application: one module per resource, each with its routes, operations and links."""
