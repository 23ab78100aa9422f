"""Writes the generated files: env.example, the README's table of settings, the chart's values and
schema, the table of layers in docs/architecture.md, and the version wherever it is repeated.

`python -m scripts.generated` writes them, `--check` fails if one is stale: `make generated`,
`make check`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from modelsync.errors import SettingsError
from modelsync.settings import GROUPS, Entry, entries, load
from scripts import chart_docs, layers, version

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- settings:begin -->", "<!-- settings:end -->"


def env_example() -> str:
    """Render the template of `.env`: every setting, commented out, with its meaning."""
    lines = [
        "# Settings of modelsync. Copy this file to .env and uncomment what you change;",
        "# a variable of the environment wins over its line here. An unknown MODELSYNC_* name is "
        "an error.",
    ]
    for group, members in _grouped():
        lines += ["", f"# --- {_title(group)}"]
        for entry in members:
            words = entry.default and not _is_value(entry)
            lines += ["", f"# {entry.doc}{f' (default: {entry.default})' if words else ''}"]
            lines += [f"#{entry.name}={'' if words else _shown(entry)}"]
    return "\n".join(lines) + "\n"


def table() -> str:
    """Render the settings as Markdown tables, one a group."""
    lines: list[str] = []
    for group, members in _grouped():
        lines += ["", f"**{_title(group)}**", "", "| name | default | meaning |", "|---|---|---|"]
        lines += [
            f"| `{entry.name}` | {_default(entry)} | {_cell(entry.doc)} |" for entry in members
        ]
    return "\n".join(lines).strip() + "\n"


def readme(text: str) -> str:
    """Give the README with the table between its markers replaced; raises ValueError where a marker
    is missing.
    """
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}{END}{after}"


def _grouped() -> Iterator[tuple[str, list[Entry]]]:
    return (
        (group, list(members))
        for group, members in groupby(entries(), key=lambda entry: entry.group)
    )


def _title(group: str) -> str:
    first = (GROUPS[group].__doc__ or group).partition("\n\n")[0]
    return " ".join(first.split()).rstrip(".")


def _default(entry: Entry) -> str:
    if not entry.default:
        return "unset"
    return f"`{_cell(_shown(entry))}`" if _is_value(entry) else entry.default


def _is_value(entry: Entry) -> bool:
    """Whether the default can be written as it stands, or is words such as "number of cores"."""
    try:
        load({entry.name: entry.default})
    except SettingsError:
        return False
    return True


def _shown(entry: Entry) -> str:
    return entry.default.lower() if entry.default in {"True", "False"} else entry.default


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(check: bool) -> int:
    """Write the files, or say which are stale."""
    stale = False
    for path, text in wanted():
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale = True
        name = path.relative_to(ROOT)
        if check:
            print(
                f"{name} does not match its source; run `make generated` and commit it",
                file=sys.stderr,
            )
        else:
            path.write_text(text, "utf-8")
            print(f"wrote {name}")
    return 1 if check and stale else 0


def wanted() -> Iterator[tuple[Path, str]]:
    """Every generated file and its content."""
    page = ROOT / "README.md"
    yield ROOT / "env.example", env_example()
    yield page, readme(page.read_text("utf-8"))
    yield layers.PAGE, layers.page()
    yield from chart_docs.generated()
    yield from version.stamped()


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
