"""Documentation follows the code: names that docs and docstrings quote, the layers, the recipes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from scripts import layers
from tests.quoted import CodeBase, quoted

ROOT = Path(__file__).parents[1]
CODE = CodeBase()
DOCS = ROOT / "docs"
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"] + [
    str(path.relative_to(ROOT))
    for folder in (DOCS, ROOT / "helm", ROOT / "bench")
    for path in sorted(folder.rglob("*.md"))
]
RECIPES = ("a setting", "a resource", "an artefact format", "a git login", "a protocol", "a limit")


@pytest.mark.parametrize("page", PAGES)
def test_pages_quote_what_exists(page: str) -> None:
    """Every name in backticks on a page is one of the project."""
    path = ROOT / page
    texts = dict.fromkeys(quoted(path.read_text("utf-8")))
    whys = {text: CODE.unknown(text, folder=path.parent) for text in texts}
    assert {text: why for text, why in whys.items() if why} == {}


def test_docstrings_quote_what_exists() -> None:
    """Every name in backticks in a docstring is one of the project, or of the same file."""
    found = [
        f"{name}: `{text}`: {why}"
        for name, module in CODE.modules.items()
        for docstring in module.docstrings()
        for text in quoted(docstring)
        if (why := CODE.unknown(text, module))
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "LaneWorker",
        "no_such_function",
        "NO_SUCH_CONSTANT",
        "modelsync.updates",
        "python -m modelsync.updates",
        "modelsync.server.server.Sever",
        "http.dataplane",
        "git.proces",
        "Releases.swep",
        "Releases.swep()",
        "json.dump_all",
        "http/problems.py",
        "modelsync/http/problems.py",
        "gitsync.py",
        "tests/no_such_folder",
        "MODELSYNC_THREAD",
        "MODELSYNC_THREAD=8",
        "modelsync chek",
        "modelsync chek --format json .",
        "make genrated",
        "GET /no-such-route",
        "/readz",
        "modelsync_sync_in_stepp",
    ],
)
def test_a_wrong_name_is_found(text: str) -> None:
    """A name that was renamed, or that never existed, is told in every shape."""
    assert CODE.unknown(text)


@pytest.mark.parametrize(
    "text",
    [
        "Watchdog",
        "files.tree_hash",
        "modelsync.sync.update",
        "Releases.sweep()",
        "git.process",
        "os._exit(3)",
        "json.dumps",
        "modelsync/problems.py",
        "release.json",
        "MODELSYNC_THREADS=8",
        "MODELSYNC_...",
        "modelsync check --format json .",
        "make generated",
        "GET /models/sync",
        "/readyz",
        "modelsync_sync_failures_total",
        '{"variables": {...}}',
        "a sentence, not a name",
    ],
)
def test_a_right_name_passes(text: str) -> None:
    """Names that exist, and texts that are no names, are no alarms."""
    assert CODE.unknown(text) is None


def test_a_renamed_class_is_found(tmp_path: Path) -> None:
    """Where a class is renamed in the code, docs that quote its old name fail."""
    package = shutil.copytree(ROOT / "modelsync" / "processes", tmp_path / "processes")
    assert CodeBase(package).unknown("ModelsyncArbiter") is None
    for path in package.glob("*.py"):
        path.write_text(re.sub(r"\bModelsyncArbiter\b", "Renamed", path.read_text("utf-8")))
    assert CodeBase(package).unknown("ModelsyncArbiter") == "no such name"


def test_every_layer_has_its_paragraph() -> None:
    """docs/architecture.md tells of the layers that the import contracts name, in their order."""
    section = (DOCS / "architecture.md").read_text("utf-8").partition(layers.END)[2]
    section = section.partition("\n## ")[0]
    told = [
        name
        for start in re.findall(r"^- (.*(?:\n  .*)*)", section, re.MULTILINE)
        for name in re.findall(r"\*\*(\w+)\*\*", start)
    ]
    expected = [[name.removeprefix("modelsync.") for name in level] for level in layers.layers()]
    assert sorted(told) == sorted(name for level in expected for name in level)
    depth = {name: number for number, level in enumerate(expected) for name in level}
    assert [depth[name] for name in told] == sorted(depth[name] for name in told)


def test_every_package_is_a_layer() -> None:
    """A package or module at the top is a layer of the contract, so that none escapes it."""
    known = {name for level in layers.layers() for name in level}
    tops = {name for name in CODE.modules if name.count(".") == 1}
    assert tops - {"modelsync.__main__"} == known


def test_every_decision_is_listed() -> None:
    """The index of decisions names each page once, by its title, in the order of their numbers."""
    folder = DOCS / "decisions"
    index = re.findall(
        r"^\| (\d+) \| \[(.+)\]\((.+)\) \|$", (folder / "README.md").read_text("utf-8"), re.M
    )
    titles = [
        (path.name, path.read_text("utf-8").splitlines()[0])
        for path in sorted(folder.glob("[0-9]*.md"))
    ]
    assert titles == [(name, f"# {number}. {title}") for number, title, name in index]
    assert [name[:4] for name, _ in titles] == [f"{n:04}" for n in range(1, len(titles) + 1)]


def test_every_decision_has_its_parts() -> None:
    """A decision tells its context, what was decided, and what it costs."""
    for path in (DOCS / "decisions").glob("[0-9]*.md"):
        headings = re.findall(r"^## (\w+)$", path.read_text("utf-8"), re.MULTILINE)
        assert headings == ["Context", "Decision", "Cost"], path.name


def test_the_glossary_is_sorted() -> None:
    """Each term stands once in the glossary, in alphabetical order."""
    glossary = (DOCS / "architecture.md").read_text("utf-8").partition("## Glossary")[2]
    terms = re.findall(r"^\| \*\*(.+?)\*\* \|", glossary, re.MULTILINE)
    assert len(terms) > 20
    assert terms == sorted(set(terms))


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_name_what_exists(recipe: str) -> None:
    """Each recipe of CONTRIBUTING.md is short, and all files and names in it exist."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (body,) = re.findall(rf"^### Add {recipe}\n\n(.*?)(?=^##|\Z)", text, re.M | re.S)
    assert len(body.strip().splitlines()) <= 12
    names = list(quoted(body))
    assert any((ROOT / name).is_file() for name in names)
    assert [name for name in names if CODE.unknown(name)] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Files that a page links to exist, and so do the headings that it names in them."""
    path = ROOT / page
    for name, anchor in re.findall(r"\]\(([^):#]*)(?:#([\w-]+))?\)", path.read_text("utf-8")):
        target = path.parent / name if name else path
        assert target.exists(), name
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
            assert anchor in slugs, f"{name}#{anchor}"
