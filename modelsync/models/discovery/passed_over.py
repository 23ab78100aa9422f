"""Finds what looks like a model and is not taken, and says why. Reads files and runs nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from modelsync.models.artefacts import registry
from modelsync.models.convention import FILE, METHOD
from modelsync.models.discovery import artefact_files
from modelsync.models.discovery.folder_names import shown
from modelsync.models.model_warnings import PassedOver
from modelsync.models.types import ModelSpec

MAX_DEPTH = 4
"""Levels of folders, below the one that holds the models, in which models are looked for."""

MAX_ENTRIES = 5_000
"""Files and folders that are looked at: what is not a model may be as large as one likes."""

LARGEST_SOURCE = 1 << 20
"""Bytes of a source file that is read."""

NO_MODELS = {"build", "dist", "docs", "node_modules", "site-packages", "test", "tests"}
"""Folders in which nobody keeps models that are to serve."""

FOREIGN = {
    ".h5": "a model of Keras",
    ".keras": "a model of Keras",
    ".pb": "a model of TensorFlow",
    ".tflite": "a model of TensorFlow Lite",
    ".safetensors": "a file of weights",
    ".ckpt": "a checkpoint",
    ".gguf": "a language model",
    ".pmml": "a model in PMML",
    ".mlmodel": "a model of Core ML",
    ".rds": "an object of R",
    ".mojo": "a model of H2O",
}
"""Files of models that are loaded by code alone."""

_DEFINES = re.compile(rf"^[ \t]*(async[ \t]+)?def[ \t]+{METHOD}\b", re.MULTILINE)


def passed_over(
    root: Path, models: Iterable[ModelSpec], *, subdir: str = ""
) -> tuple[PassedOver, ...]:
    """List what looks like a model below `root` and is none, sorted by path.

    `models`: those that are taken. `subdir`: where `root` lies in the repository.
    """
    taken = {model.path.name for model in models}
    return tuple(sorted(_Search(root, taken, subdir).run(), key=lambda one: one.path))


@dataclass(slots=True)
class _Search:
    """One walk through the folders that are no models; `left`: the entries it may still look at."""

    root: Path
    taken: Collection[str]
    subdir: str
    left: int = MAX_ENTRIES
    nested: dict[str, list[str]] = field(default_factory=dict)

    def run(self) -> Iterator[PassedOver]:
        """Yield what is found, in no order."""
        files, folders = self._list(self.root)
        yield from self._beside(files)
        for name in folders:
            if name not in self.taken:
                yield from self._folder(name, 1)
        yield from map(self._too_deep, self.nested)

    def _list(self, folder: Path) -> tuple[list[str], list[str]]:
        """Return the names of the files and of the folders in a folder, without hidden ones."""
        files: list[str] = []
        folders: list[str] = []
        try:
            with os.scandir(folder) as listing:
                for entry in listing:
                    self.left -= 1
                    if self.left < 0:
                        break
                    if not entry.name.startswith((".", "__pycache__")) and not entry.is_symlink():
                        (folders if entry.is_dir() else files).append(entry.name)
        except OSError:  # unreadable: it is no model, and nobody has said that it is one
            pass
        return sorted(files), sorted(folders)

    def _beside(self, files: list[str]) -> Iterator[PassedOver]:
        """Yield the files that lie beside the model folders and not in one."""
        for file in files:
            if file == FILE or registry.by_name(file):
                reason = "lies beside the model folders, and a model is a folder"
                yield PassedOver(shown(file), reason, "put it into a folder of its own")
            elif file.endswith(".dvc"):
                yield _of_dvc(file, file)

    def _folder(self, path: str, depth: int) -> Iterator[PassedOver]:
        """Yield what is found in a folder that is no model; `path`: from the root."""
        name = path.rpartition("/")[2]
        if name.lower() in NO_MODELS:
            return
        files, folders = self._list(self.root / path)
        if "pyvenv.cfg" in files:
            return
        if depth > 1 and self._is_model(path, files):
            parent = path.rpartition("/")[0]
            self.nested.setdefault(parent, []).append(name)
            return
        if found := self._look(path, files, folders):
            yield found
        if depth < MAX_DEPTH:
            for folder in folders:
                yield from self._folder(f"{path}/{folder}", depth + 1)

    def _is_model(self, path: str, files: list[str]) -> bool:
        """Return whether a folder would be a model if it were in its place."""
        return FILE in files or bool(_models(self.root / path, files))

    def _look(self, path: str, files: list[str], folders: list[str]) -> PassedOver | None:
        """Return why a folder is no model, if it looks like one."""
        folder = self.root / path
        if "etls" in folders and (folder / "etls" / "__init__.py").is_file():
            folders.remove("etls")
            reason = f"etls is a package here, and a model is a file {FILE}"
            return _folder(path, reason, f"put the class into {FILE}; it may import from a package")
        for file in files:
            if file.endswith(".dvc"):
                return _of_dvc(path, file)
            if kind := FOREIGN.get(Path(file).suffix.lower()):
                reason = f"{shown(file)} is {kind}, which no model is without code"
                return _folder(path, reason, f"add an {FILE} that loads it")
        if found := self._of_code(path, files):
            return found
        return _of_data(path, folder, files)

    def _of_code(self, path: str, files: list[str]) -> PassedOver | None:
        """Return why a folder with code is no model; None if none of it predicts."""
        sources = [file for file in files if file.endswith((".py", ".ipynb"))]
        predicting = [one for one in sources if self._predicts(self.root / path / one)]
        if not predicting or self._is_imported(path.partition("/")[0]):
            return None
        [file, *_] = predicting
        if file.endswith(".ipynb"):
            reason = f"has no {FILE}; {METHOD} is in a notebook, {shown(file)}"
            return _folder(path, reason, f"write its class into {FILE}")
        reason = f"has no {FILE}; {METHOD} is in {shown(file)}"
        return _folder(path, reason, f"rename {shown(file)} to {FILE}")

    def _predicts(self, path: Path) -> bool:
        text = _text(path)
        return METHOD in text if path.suffix == ".ipynb" else bool(_DEFINES.search(text))

    def _is_imported(self, name: str) -> bool:
        """Return whether a model imports from a folder: then it is shared code."""
        used = re.compile(rf"^\s*(from|import)\s.*\b{re.escape(name)}\b", re.MULTILINE)
        return any(used.search(_text(self.root / model / FILE)) for model in self.taken)

    def _too_deep(self, parent: str) -> PassedOver:
        names = self.nested[parent]
        place = f"{self.subdir}/{parent}" if self.subdir else parent
        hint = f"move it up, or set MODELSYNC_GIT_SUBDIR={shown(place)} if all models are there"
        if len(names) == 1:
            where = "a folder inside another one, and models lie side by side"
            return _folder(f"{parent}/{names[0]}", f"is {where}", hint)
        some = ", ".join(map(shown, names[:3])) + (", …" if len(names) > 3 else "")
        reason = f"holds {len(names)} model folders ({some}) that are not beside the others"
        return _folder(parent, reason, hint.replace("it up", "them up"))


def _models(folder: Path, files: list[str]) -> list[str]:
    try:
        return artefact_files.models(folder, files)
    except OSError:
        return []


def _folder(path: str, reason: str, hint: str | None = None) -> PassedOver:
    return PassedOver(shown(path), reason, hint)


def _of_dvc(path: str, file: str) -> PassedOver:
    reason = f"{shown(file)} points to a file that DVC keeps elsewhere, and git does not have it"
    hint = "commit the file itself, with Git LFS if it is large"
    return _folder(path, reason, f"{hint}; or add an {FILE} that gets it from where DVC keeps it")


def _of_data(path: str, folder: Path, files: list[str]) -> PassedOver | None:
    """Return that the pickle of a folder is no model."""
    for file in files:
        if not registry.by_name(file):
            continue
        try:
            content = artefact_files.no_model(folder / file)
        except OSError:
            continue
        if content and content.holds == "none":
            return _folder(path, f"{shown(file)} is no pickle, or a damaged one")
        if content:
            kind = content.kind or "plain data"
            return _folder(path, f"{shown(file)} holds data ({kind}), no model")
    return None


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_SOURCE:
            return ""
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
