"""The model folders of a commit, read from the objects of a repository: versions and files.

There is no checkout by git: files are read as objects and written one by one.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelsync.errors import MirrorCorrupt, NoModels
from modelsync.files import remove_tree, storage
from modelsync.git.checkout import TreeEntry, TreeWriter, followed, shown
from modelsync.git.process import GitRunner
from modelsync.models.discovery.folder_names import is_meant_as_model
from modelsync.models.types import Fault, TreeHash
from modelsync.settings import EVERY_MODEL, ModelSelection


@dataclass(frozen=True, slots=True)
class Export:
    """The result of an export: model folders by name, and the faults of incomplete ones.

    A folder with problems is written without the offending entries, so that a report can point at
    it. A name with problems may have no folder: a submodule or a link in the place of one, or a
    name that cannot be written. `beside` holds the names next to the model folders and at the top
    of the commit; those of folders end with a slash.
    """

    folders: tuple[str, ...]
    problems: dict[str, tuple[Fault, ...]]
    beside: frozenset[str]


def versions(run: GitRunner, commit: str, subdir: str) -> dict[str, TreeHash]:
    """The tree hash of each folder in `subdir`, without those that start with a dot."""
    listing = run("ls-tree", "-z", _subtree(run, commit, subdir), local=True)
    entries = (line.partition("\t") for line in listing.split("\0") if line)
    return {
        shown(name): TreeHash(about.split()[2])
        for about, _, name in entries
        if about.split()[1] == "tree" and followed(name)
    }


def export(
    run: GitRunner,
    commit: str,
    subdir: str,
    target: Path,
    selection: ModelSelection = EVERY_MODEL,
) -> Export:
    """Write the folders of `subdir` into the new folder `target`, file by file, without those of
    models that are not selected.
    """
    tree = _subtree(run, commit, subdir)
    listing = run("ls-tree", "-r", "-z", tree, local=True)
    entries = [TreeEntry.parse(line) for line in listing.split("\0") if line]
    with storage():
        remove_tree(target)
        target.mkdir()
        writer = TreeWriter(target)
        wanted = [entry for entry in _selected(entries, selection) if writer.accepts(entry)]
        with run.process("cat-file", "--batch", stdin=subprocess.PIPE) as child:
            for entry in wanted:
                writer.write(entry, content(child, entry.sha))
        writer.finish()
    problems = {name: tuple(found) for name, found in writer.problems.items()}
    return Export(
        tuple(sorted(writer.folders)),
        problems,
        _listed(run, f"{commit}^{{tree}}") | _listed(run, tree),
    )


def _selected(entries: Sequence[TreeEntry], selection: ModelSelection) -> list[TreeEntry]:
    """The entries without those below the folders of models that are not selected."""
    names: dict[str, list[str]] = {}
    for entry in entries:
        folder, _, name = entry.path.partition("/")
        if "/" not in name and not selection.takes(folder):
            names.setdefault(folder, []).append(name)
    others = {folder for folder, files in names.items() if is_meant_as_model(files)}
    return [entry for entry in entries if entry.folder not in others]


def files(run: GitRunner, commit: str, subdir: str, path: str) -> dict[str, bytes]:
    """The file at a path below `subdir`, or all files below it if it is a folder, by path.

    Links and submodules are left out. Empty if there is nothing.
    """
    tree = _subtree(run, commit, subdir)
    listing = run("ls-tree", "-r", "-z", tree, "--", path, local=True)
    found = map(TreeEntry.parse, filter(None, listing.split("\0")))
    wanted = [entry for entry in found if entry.mode.startswith("100")]
    if not wanted:
        return {}
    with run.process("cat-file", "--batch", stdin=subprocess.PIPE) as child:
        return {entry.path: b"".join(content(child, entry.sha)) for entry in wanted}


def _listed(run: GitRunner, tree: str) -> frozenset[str]:
    listing = run("ls-tree", "-z", tree, local=True)
    entries = (line.partition("\t") for line in listing.split("\0") if line)
    return frozenset(
        shown(name) + ("/" if about.split()[1] == "tree" else "") for about, _, name in entries
    )


def suggested_subdir(run: GitRunner, commit: str) -> str | None:
    """The folder that holds `<Model>/etls.py`, preferably `models_serve`; None without one."""
    listing = run("ls-tree", "-r", "-z", "--name-only", f"{commit}^{{tree}}", local=True)
    paths = [
        path for path in listing.split("\0") if path.endswith("/etls.py") and path.count("/") > 1
    ]
    found = {path.rsplit("/", 2)[0] for path in paths}
    return min(
        found,
        key=lambda folder: (folder != "models_serve", folder.count("/"), folder),
        default=None,
    )


def _subtree(run: GitRunner, commit: str, subdir: str) -> str:
    """The hash of the tree that holds the model folders.

    Raises NoModels if the commit does not have it.
    """
    tree = run("rev-parse", "--verify", "-q", f"{commit}^{{tree}}", local=True).strip()
    for part in filter(None, subdir.split("/")):
        listing = run("ls-tree", "-z", tree, local=True).split("\0")
        found = [
            line.split()[2]
            for line in listing
            if line.partition("\t")[2] == part and " tree " in line
        ]
        if not found:
            raise NoModels(f"the commit has no folder {subdir!r} (MODELSYNC_GIT_SUBDIR)")
        tree = found[0]
    return tree


def content(batch: subprocess.Popen[bytes], sha: str, kind: bytes = b"blob") -> Iterator[bytes]:
    """Ask a `git cat-file --batch` for a blob, or an object of another kind, and yield its bytes.

    Raises MirrorCorrupt if the object is missing, or does not have its hash: a damaged file must
    never become a model.
    """
    assert batch.stdin
    assert batch.stdout
    try:
        batch.stdin.write(f"{sha}\n".encode())
        batch.stdin.flush()
    except BrokenPipeError:
        raise MirrorCorrupt("the mirror cannot be read") from None
    header = batch.stdout.readline()
    if not header.endswith(b"\n") or len(fields := header.split()) != 3 or fields[1] != kind:
        raise MirrorCorrupt(f"the object {sha} is missing")
    left = int(fields[2])
    digest = hashlib.sha1(b"%s %d\0" % (kind, left), usedforsecurity=False)
    while left:
        if not (chunk := batch.stdout.read(min(left, 1 << 20))):
            raise MirrorCorrupt(f"the object {sha} is cut off")
        left -= len(chunk)
        digest.update(chunk)
        yield chunk
    batch.stdout.read(1)
    if digest.hexdigest() != sha:
        raise MirrorCorrupt(f"the object {sha} is damaged")
