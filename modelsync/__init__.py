"""modelsync: push a folder, get an endpoint."""

from typing import TypeVar

__version__ = "0.1.0"

_Estimator = TypeVar("_Estimator")


def compiled(estimator: _Estimator) -> _Estimator:
    """Return a fitted estimator that answers by its compiled form where the service has one.

    `self.model = modelsync.compiled(joblib.load(path + "model.joblib"))` in a model's class is all
    that it takes: `predict`, `predict_proba` and `transform` then answer as before, a hundred times
    as fast. All else is that of the estimator, which also answers whatever the form was not proven
    for. In a notebook or a test there is no form, so it is the estimator; `compilation` tells.
    """
    # Here: to import modelsync must stay cheap.
    from modelsync.models.compiled.estimator import wrap

    wrapped: _Estimator = wrap(estimator)
    return wrapped
