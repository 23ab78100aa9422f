"""Names that docs and docstrings quote in backticks, looked up in the code base.

Nothing of modelsync is imported for it: the names come from the syntax trees of its files. A quoted
text of an unknown shape (a sentence, a piece of JSON) passes; one that looks like a name, a path, a
setting, a metric, a route, a command or a make target must exist.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import keyword
import os
import re
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from tests.definitions import Module

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "modelsync"

NOT_OURS = {
    # Models of examples, their files, and a misspelt setting that the README warns of.
    *(
        "Churn",
        "CreditRisk",
        "Exchange",
        "Iris",
        "Linear",
        "Pipeline",
        "Price",
        "Titanic",
        "Wine",
        "GITPATH",
    ),
    *("helpers", "helpers.py", "helpers.Scaler", "json.py", "shared.py", "common/"),
    # Code that models share.
    *("utils.py", "utils", "utils.Scaler", "common.features", "common.features.Scaler"),
    *("common/features.py", "models_serve.Churn.helpers", "models_serve.Churn.helpers.Scaler"),
    "Churn/Churn.py",
    *("pipeline.pkl", "model.pkl", "model.onnx", "churn.pkl", "churn.sav", "model.pickle"),
    *("model.pkl.gz", "model.ubj", "scaler.pkl", "features.pkl"),
    # Of scikit-learn, and of the libraries of gradient boosting.
    *("save_model", "passthrough", "InconsistentVersionWarning", "SplineTransformer"),
    *("class_weight", "decision_function", "set_params", "Int64"),
    # Models, labels, data files and paths of examples in docs.
    *("Forest", "Survival", "canary", "stable", "a.csv.gz", "a.jsonl", "models_serve/model/"),
    *("GET /train_decision_tree", "POST /serve_decision_tree"),
    # What older systems had, and pandas.
    *("make_model", "serializer_backend", "schema.yml", "DataFrame.to_json"),
    # The kernel, the C library, Kubernetes, pytest, OpenAPI, HTTP and the environment.
    *("stack_t", "oom_score_adj", "syncfs", "fsync", "memory.events", "memory.oom_control"),
    *("memory.oom.group", "OOMKilled", "debootstrap", "tmp_path", "Upgrade", "TZ", "wrk"),
    *("mapping", "requestBody", "taskset"),
    # The user's own file, which git ignores, and all files of that kind.
    *("requirements-models.txt", "requirements*.txt"),
    # Files of the models' repository.
    *(".github/workflows/models.yml", ".gitlab-ci.yml"),
    # What instances of a model's class are given, and what they give to `modelsync.compiled`.
    *("self.schema", "self.model.compilation", "self.model.__wrapped__"),
    # A parameter whose variable is named by a keyword of Python.
    "class_",
    # A type variable of an explanation.
    "X",
    # The domain of the annotation `modelsync.dev/revision`.
    "modelsync.dev",
}
"""Quoted names that nothing of this project defines, each line with its reason."""

IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
FILE = re.compile(r"[\w.<>{}*/-]+\.(py|md|json|ya?ml|toml|txt|sh|example|mod|pid|html|css|js)")
METRIC_SUFFIX = re.compile(r"_(total|bucket|sum|count)$")


class CodeBase:
    """Every name of the project. `unknown` says why a quoted text is none."""

    def __init__(self, package: Path = PACKAGE) -> None:
        self.modules = {
            ".".join(path.relative_to(package.parent).with_suffix("").parts): Module.read(path)
            for path in sorted(package.rglob("*.py"))
        }
        self.modules = {
            name.removesuffix(".__init__"): module for name, module in self.modules.items()
        }

    @cached_property
    def definitions(self) -> set[str]:
        """Names that any file defines or imports, and names of packages and modules."""
        return self._parts.union(
            *(module.defined | module.names for module in self.modules.values())
        )

    @cached_property
    def _parts(self) -> set[str]:
        return {part for name in self.modules for part in name.split(".")}

    @cached_property
    def words(self) -> set[str]:
        """Texts of one word in the code, such as JSON members and names of files."""
        return set().union(*(module.words for module in self.modules.values()))

    @cached_property
    def imported(self) -> set[str]:
        """The libraries that the code imports."""
        return set().union(*(module.imported for module in self.modules.values()))

    @cached_property
    def surroundings(self) -> set[str]:
        """Words of everything beside the package that docs may quote: the chart, the examples."""
        folders = (
            "airflow",
            "bench",
            "compose",
            "helm",
            "k8s",
            "models_serve",
            "scripts",
            "modelsync/api/console",
        )
        files = [path for name in folders for path in (ROOT / name).rglob("*") if path.is_file()]
        files += [
            ROOT / name
            for name in (
                ".ci/run",
                "Dockerfile",
                "Makefile",
                "docker-compose.yml",
                "pyproject.toml",
                "run.sh",
            )
        ]
        text = "\n".join(path.read_text("utf-8", errors="ignore") for path in files)
        return set(re.findall(r"[\w.-]*\w", text)) | set(re.findall(r"\w+", text))

    @cached_property
    def settings(self) -> set[str]:
        """Environment variables, as the code spells them."""
        found = {word for word in self.words if re.fullmatch(r"MODELSYNC_[A-Z_]+", word)}
        beside = ("MODELSYNC_AIRFLOW_", "MODELSYNC_TEST_")
        others = {word for word in self.surroundings if word.startswith(beside)}
        return {*found, *others, *(f"{name}_FILE" for name in found)}

    @cached_property
    def verbs(self) -> set[str]:
        """Commands of `modelsync`."""
        (function,) = (
            node
            for node in self.modules["modelsync.cli"].tree.body
            if isinstance(node, ast.For) and "add_command" in ast.unparse(node)
        )
        names = {node.id for node in ast.walk(function.iter) if isinstance(node, ast.Name)}
        # Of `list_models`: a function is not named like a built-in one.
        return {name.partition("_")[0] for name in names}

    @cached_property
    def targets(self) -> set[str]:
        """Targets of the Makefile."""
        return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))

    def unknown(self, quoted: str, module: Module | None = None, folder: Path = ROOT) -> str | None:
        """Why a text in backticks names nothing; None where it does, or is no name.

        `module` is the file whose docstring quotes it: its parameters and variables count. `folder`
        is that of the page that quotes it: files in it count.
        """
        text = quoted.removesuffix("()")
        if text in NOT_OURS or text.startswith("modelsync_models."):  # packages of models' folders
            return None
        for name in re.findall(r"(?<!/)\bmodelsync(?:\.[A-Za-z_]\w*)+", text):
            if name not in NOT_OURS and not self._is_member(name.split(".")):
                return f"no module or member {name}"
        for name in re.findall(r"\bMODELSYNC_[A-Z_]*[A-Z]\b", text):
            if name not in self.settings:
                return f"no setting {name}"
        if command := re.match(r"(?:python -m )?modelsync ([a-z]+)\b", text):
            return None if command[1] in self.verbs else f"no command {command[1]}"
        if target := re.match(r"make ([a-z0-9-]+)$", text):
            return None if target[1] in self.targets else f"no make target {target[1]}"
        if FILE.fullmatch(text):
            return None if self._is_file(text) or _is_below(folder, text) else "no file"
        return self._unknown_name(text, module)

    def _unknown_name(self, text: str, module: Module | None) -> str | None:
        if text.startswith("modelsync_") and IDENTIFIER.fullmatch(text):
            known = METRIC_SUFFIX.sub("", text) in self.words or text in self.words
            return None if known else "no metric"
        if route := re.fullmatch(r"(?:GET |POST )?(/[\w<>:./-]*)(\?.*)?", text):
            return None if self._is_route(route[1]) else "no route"
        if re.fullmatch(r"[a-z]\w*(/[\w.-]+)+/?", text) and (ROOT / text.split("/")[0]).is_dir():
            return None if (ROOT / text).exists() else "no file or folder"
        if DOTTED.fullmatch(text) and not text.startswith("modelsync."):
            return None if self._is_dotted(text, module) else "no such member"
        if IDENTIFIER.fullmatch(text):
            return None if self._is_name(text, module) else "no such name"
        return None

    def _is_name(self, text: str, module: Module | None) -> bool:
        if text in self.definitions or text in self.words or text in self.imported:
            return True
        if keyword.iskeyword(text) or hasattr(builtins, text) or hasattr(os, text):
            return True
        if text in sys.stdlib_module_names:
            return True
        return text in (module.used if module else self.surroundings)

    def _is_dotted(self, text: str, module: Module | None) -> bool:
        if text in self.words or (module is None and text in self.surroundings):
            return True
        parts = text.split(".")
        if any(self._is_member([*name.split("."), *parts]) for name in self._packages):
            return True
        if any(parts[0] in one.members and self._has(one, parts) for one in self.modules.values()):
            return True
        if module and all(part in module.defined for part in parts[1:]):
            return True  # an attribute of this file's own, of an instance in an example
        if parts[0] in sys.stdlib_module_names:
            return _is_stdlib(parts)
        return parts[0] in self.imported and parts[0] not in self._parts

    @cached_property
    def _packages(self) -> list[str]:
        """Every package: a docstring may name a module by its last parts, as in `git.process`."""
        return sorted({name.rpartition(".")[0] for name in self.modules} | {"modelsync"} - {""})

    def _is_member(self, parts: list[str]) -> bool:
        for size in range(len(parts), 0, -1):
            if module := self.modules.get(".".join(parts[:size])):
                return size == len(parts) or self._has(module, parts[size:])
        return False

    def _has(self, module: Module, parts: list[str]) -> bool:
        name, *rest = parts
        if not rest:
            return name in module.defined
        return name in module.members and (
            rest[0] in module.members[name]
            or (rest[0] in self.definitions and module.has_bases(name))
        )

    def _is_file(self, text: str) -> bool:
        if any((top / text).exists() for top in (ROOT, PACKAGE)) or text in self.words:
            return True
        if re.search(r"[<>{}*]", text):  # a pattern: its last fixed part decides
            return any(word.endswith(Path(text).suffix) for word in self.words)
        name = Path(text).name
        if "/" not in text:
            return name in self._file_names
        return name in self.words and not text.endswith(".py")  # a file in the state directory

    @cached_property
    def _file_names(self) -> set[str]:
        return {path.name for path in PACKAGE.rglob("*.*")}

    def _is_route(self, text: str) -> bool:
        if Path(text).is_absolute() and text.split("/")[1] in {"proc", "etc", "tmp", "var", "dev"}:
            return True
        literal = [part for part in text.split("/") if part and not re.search(r"[<>:]", part)]
        fixed = [part for part in literal if part != "models" and part not in NOT_OURS]
        return all(any(part in word for word in self._path_words) for part in fixed)

    @cached_property
    def _path_words(self) -> set[str]:
        layers = ("modelsync.api", "modelsync.server", "modelsync.models.types")
        return set().union(
            *(module.words for name, module in self.modules.items() if name.startswith(layers))
        )


def _is_below(folder: Path, name: str) -> bool:
    """Whether a file of that name lies in the folder of a page, or deeper."""
    return folder != ROOT and any(folder.rglob(name))


def _is_stdlib(parts: list[str]) -> bool:
    """Whether a dotted name is one of the standard library; `datetime.astimezone` counts as the
    method of the class that is named like its module.
    """
    found: object = importlib.import_module(parts[0])
    found = getattr(found, parts[0], found) if not hasattr(found, parts[1]) else found
    for part in parts[1:]:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def quoted(text: str) -> Iterator[str]:
    """The texts in single backticks, as one line each; code blocks are left out."""
    text = re.sub(r"^(```|~~~).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    for paragraph in re.split(r"\n\s*\n", text):
        for found in re.findall(r"(?<!`)`([^`]+)`(?!`)", paragraph):
            yield " ".join(found.split())
