"""Says what the author of a model can do about an exception of its code."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path, PurePath

from modelsync.models import script_hints
from modelsync.models.convention import ENVIRONMENT
from modelsync.models.isolation.model_package import PREFIX
from modelsync.models.search_roots import REPOSITORY, SearchRoots, kind_of
from modelsync.models.types import Fault

# The names of packages on PyPI whose modules have another name.
DISTRIBUTIONS = {
    "Crypto": "pycryptodome",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "git": "gitpython",
    "igraph": "python-igraph",
    "imblearn": "imbalanced-learn",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "kafka": "kafka-python",
    "Levenshtein": "levenshtein",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "mysql": "mysql-connector-python",
    "pkg_resources": "setuptools",
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "sentence_transformers": "sentence-transformers",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "slugify": "python-slugify",
    "snowflake": "snowflake-connector-python",
    "umap": "umap-learn",
    "usb": "pyusb",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}

# Packages whose modules have the same name. Any other name may be one, or code of the models.
LIBRARIES = {
    "catboost",
    "lightgbm",
    "onnxruntime",
    "polars",
    "prophet",
    "shap",
    "skops",
    "spacy",
    "statsmodels",
    "tensorflow",
    "torch",
    "transformers",
    "xgboost",
}

# Names that people give to code of their own; on PyPI each is a stranger's package.
_OWN = frozenset(
    {
        "base", "common", "config", "configs", "constants", "core", "encoders", "etl", "etls",
        "feature", "features", "func", "functions", "helper", "helpers", "lib", "libs", "main",
        "misc", "model", "models", "models_serve", "module", "modules", "pipeline", "pipelines",
        "predict", "preprocess", "preprocessing", "preprocessor", "scaler", "scalers", "schema",
        "schemas", "scripts", "settings", "shared", "source", "src", "tests", "tools", "train",
        "training", "util", "utilities", "utility", "utils",
    }
)  # fmt: skip
_OWN_ENDS = re.compile(
    r"_(?:base|common|config|features?|funcs?|helpers?|lib|models?|tools|utils?)$"
)

REQUIREMENTS = (
    "requirements-models.txt beside run.sh, and run ./run.sh or build the image again; "
    "or list all that the model needs in a requirements.txt in its folder"
)
OF_ENVIRONMENT = "the requirements.txt or uv.lock that its environment is made of"


def of(error: BaseException, text: str, roots: SearchRoots) -> str | None:
    """Return what the author of a model can do about an error, whose message is `text`; None if
    nothing is known.
    """
    match error:
        case ModuleNotFoundError() if error.name:
            return _missing_module(error.name, roots)
        case ImportError() if found := re.search(r"pip or conda to install ([\w.-]+)", text):
            return f"add the line {found[1]} to {_requirements()}"
        case FileNotFoundError() if isinstance(error.filename, str):
            return _missing_file(error.filename, roots)
    return script_hints.of(error, text)


# --- files ----------------------------------------------------------------------------------------


def _missing_file(name: str, roots: SearchRoots) -> str | None:
    """Return how to open a file that was not found by its path."""
    path = PurePath(name)
    if path.is_absolute():
        inner = roots.path_of_folder(name)
        if inner is None or inner[: len(roots.names)] == roots.names:
            return None
        if roots.shared and path.is_relative_to(roots.shared):
            return f"{'/'.join(inner)} {_NOT_SHARED}"
        return f"{'/'.join(inner)} {_OUTSIDE}: put it there, and open {_beside_code(path.name)}"
    inside = _in_folder(path, roots)
    if (roots.folder / inside).exists():
        return (
            f"open {_beside_code(str(inside))}, or with the path that __init__ gets: "
            "the working directory is another"
        )
    if roots.shared and (roots.shared / path).exists() and len(path.parts) > 1:
        package = ".".join(path.parent.parts)
        return f'open importlib.resources.files("{package}") / "{path.name}"'
    if not path.suffix and len(path.parts) < 2:  # a program, mostly
        return None
    return (
        "a relative path begins at the working directory, not at the top of the repository: put "
        f"{path.name} into the model's folder, and open {_beside_code(path.name)}"
    )


_NOT_SHARED = (
    "is not shared: only modules are, and the files in packages; put it into a package beside the "
    "code that reads it, or into the model's folder"
)

_OUTSIDE = "lies outside of the model's folder"


def _beside_code(name: str) -> str:
    return f'Path(__file__).parent / "{name}"'


def _in_folder(path: PurePath, roots: SearchRoots) -> PurePath:
    """Return a path without the path of the model's folder in the repository, if it begins so."""
    for start in range(len(roots.path)):
        own = PurePath(*roots.path[start:])
        if path.is_relative_to(own):
            return path.relative_to(own)
    return path


# --- modules --------------------------------------------------------------------------------------


def _missing_module(name: str, roots: SearchRoots) -> str | None:
    """Return what to do about a module that was not found, by its full or its plain name."""
    parts = name.split(".")
    is_own = name.startswith(PREFIX) and parts[2:3] != [REPOSITORY]
    if name.startswith(PREFIX):
        parts = parts[2:] if is_own else parts[3:]
    if not parts:
        return None
    top, module = parts[0], ".".join(parts)
    if kind_of(roots.folder, top):
        if len(parts) > 1:
            return f"{top} is code of this folder, and has no {module}"
        return f"{top} is a module of this folder, which only its own code can import"
    if top in roots.names or (roots.shared and kind_of(roots.shared, top)):
        return f"{top} is code of this repository, and has no {module}"
    if name.startswith(PREFIX) or _looks_own(top, roots):
        if is_own:
            places = "in the model's folder"
        else:
            above = [f"{roots.path[-2]}/"] if len(roots.path) > 1 else []
            listed = ", ".join(["the model's folder", *above])
            places = f"in {listed} or at the top of the repository"
        return (
            f"it looks like code of your own, but neither {top}.py nor {top}/ with modules is "
            f"{places}: is it committed?"
        )
    return _missing_library(module)


def _looks_own(top: str, roots: SearchRoots) -> bool:
    """Return whether people call their own code so, and no library that they need."""
    if top in DISTRIBUTIONS or top in LIBRARIES or top in sys.stdlib_module_names:
        return False
    bare = top.lower()
    return (
        bare in _OWN
        or _OWN_ENDS.search(bare) is not None
        or bare.startswith(f"{roots.path[-1].lower()}_")
        or (roots.folder.parent / top).is_dir()
    )


def beside(fault: Fault | None, names: Collection[str]) -> Fault | None:
    """Return the fault with another hint, if the missing module is one of `names`, which lie beside
    the models' folders (`common/`, `shared.py`) or in a folder there (`src/mylib/`).

    The hint for a library would lead people to install an unrelated package of that name.
    """
    if fault and (
        missing := re.search(r"ModuleNotFoundError: No module named '([\w.]+)", fault.message)
    ):
        top = missing[1].partition(".")[0]
        if f"{top}/" in names:
            hint = f"{top}/ is a folder of this repository without a module {missing[1]}"
            return replace(fault, hint=f"{hint}: import one that is committed there")
        if f"{top}.py" in names:
            hint = (
                f"{top}.py is a file of this repository: write `import {top}` at the top of etls.py"
            )
            return replace(fault, hint=hint)
        for name in sorted(names):
            if name.endswith((f"/{top}/", f"/{top}.py")):
                folder = name.rstrip("/").rpartition("/")[0]
                return replace(fault, hint=_below_a_root(name, folder, missing[1]))
    return fault


def _below_a_root(name: str, folder: str, module: str) -> str:
    """Return how to import a module that lies in a folder beside those of the models."""
    return (
        f"{name} is code of this repository: write {folder.replace('/', '.')}.{module}, or add "
        f"{folder} to sys.path above the import"
    )


def _missing_library(module: str) -> str | None:
    """Return what to do about a module that is not installed; None if nobody can tell."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == "google":  # which a dozen packages share
        return None
    if top.startswith("_"):  # of a compiled module: `_loss` of scikit-learn 1.4 to 1.8
        return (
            f"{top} is a module inside of a library, which was another version where the model was "
            f"saved: save it again, or pin that version in {_requirements()}"
        )
    package = DISTRIBUTIONS.get(top, top)
    if module != top and find_spec(top):
        version = f"pin the version you need in {_requirements()}"
        return f"the installed {package} has no {module}; {version}"
    if top in DISTRIBUTIONS or top in LIBRARIES:
        return f"add the line {package} to {_requirements()}"
    return (
        f"if {top} is a package from PyPI: add the line {top} to {_requirements()}; "
        "code of your own belongs into this folder, or beside the model folders"
    )


def _requirements() -> str:
    """Name the file that holds the libraries of this process."""
    return OF_ENVIRONMENT if Path(sys.prefix, ENVIRONMENT).is_file() else REQUIREMENTS
