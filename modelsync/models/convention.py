"""The names that make a folder a model: its code's file, the methods of its class, its examples."""

from __future__ import annotations

FILE = "etls.py"
"""The file with the model's class."""

METHOD = "transform_predict"
"""The method that answers one request."""

BATCH = "transform_predict_batch"
"""The method that answers a list of rows. A class has `METHOD`, `BATCH` or both."""

PREDICT = "predict"
"""The method of a model that is trained which answers a table of rows."""

LIFECYCLE = ("accept", "fill", "fit", "metrics", PREDICT, "train", "update")
"""Optional methods of a model that is trained: `fit(x, y, **params)`, `train()` or `train(data)`,
`update(x, y)`, `metrics(x, y)`, `accept(new_metrics, old_metrics)`, `predict(x)` for tables, and
`fill(date)`, which returns the rows that a day brings.
"""

SCHEMA = "schema.yml"
"""The file that tells the columns of a model's data."""

EXAMPLES = "examples"
"""The folder with the model's examples, inside its own folder."""

ENVIRONMENT = "environment.json"
"""The file, at the top of an environment of models, that describes it."""

RESERVED = frozenset(
    {
        "all",
        "usage",
        "docs",
        "openapi.json",
        "sync",
        "livez",
        "readyz",
        "metrics",
        "v2",
        "static",
        "favicon.ico",
    }
)
"""Names of the service's own routes, in lower case: a model must not have one, in any case."""
