"""A repository with shared code beside its model folders."""

from __future__ import annotations

from tests.models.code import churn

MODEL = """
{top}

class Churn:
    def __init__(self, path):
        self.path = path

    def transform_predict(self, variables):
        {lazy}
        return {{"got": {got}}}
"""

SHARED = {
    "utils.py": "import logging\nLOG = logging.getLogger(__name__)\nWHO = 'utils'\n"
    "class Scaler:\n    by = 3\n",
    "logging.py": "1 / 0  # no model means this one\n",
    "common/__init__.py": "from .features import *\n__all__ = ['FEATURES', 'late']\n",
    "common/features.py": "from ..utils import WHO\nfrom utils import Scaler\n"
    "FEATURES = 'features of ' + WHO\n",
    "common/late.py": "WHO = 'late'\n",
    "common/table.csv": "1,2\n",
    "src/model/steps.py": "from src.model import more\nWHO = 'steps ' + more.WHO\n",
    "src/model/more.py": "WHO = 'more'\n",
    "models_serve/near.py": "WHO = 'near'\n",
    "models_serve/Other/etls.py": churn().replace("Churn", "Other"),
    "models_serve/Other/features.py": "import own\nfrom . import own as same\n"
    "class Feature:\n    who = own.WHO\n    same = own is same\n",
    "models_serve/Other/own.py": "WHO = 'own of Other'\n",
    "models_serve/Churn/helpers.py": "import common.features\n\nclass Scaler:\n    by = 2\n",
    "models_serve/Churn/pkg/deep.py": "from ...near import WHO\nfrom ..helpers import Scaler\n",
}


def pickled(name: str) -> str:
    """An instance of a class, as code of its pickle, since there is no such class here."""
    module, _, kind = name.rpartition(".")
    return f"b'\\x80\\x02c{module}\\n{kind}\\n)\\x81.'"
