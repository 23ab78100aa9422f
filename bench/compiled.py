"""`python -m bench.compiled [WORD ...]`: compile the corpus, and write its table into
docs/compiled.md.

Each line of the table: whether the estimator compiles, whether its compiled form answers the same,
and how many times less processor time a call takes. With words, only entries are tried whose name
has one of them, and nothing is written.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from bench import compiled_corpus
from bench.compiled_corpus import Entry
from modelsync.errors import ModelBroken
from modelsync.models.artefacts import estimators
from modelsync.models.compilation import Compilation
from modelsync.models.compiled import choice

PAGE = Path(__file__).parents[1] / "docs" / "compiled.md"
BEGIN, END = "<!-- corpus:begin -->\n", "<!-- corpus:end -->"
LONGEST = 220
"""Characters of a reason in the table."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of an entry; `unfit`: why it does not fit the small table, and does not count."""

    entry: Entry
    compilation: Compilation | None = None
    unfit: str = ""
    seconds: float = 0.0

    @property
    def is_equal(self) -> bool:
        """Whether it is compiled, which it is only if it is equal."""
        return self.compilation is not None and self.compilation.state == "compiled"


def main() -> int:
    """0 if enough of the corpus is compiled and equal."""
    words = [word.lower() for word in sys.argv[1:]]
    tried = []
    for entry in compiled_corpus.entries():
        if not words or any(word in entry.name.lower() for word in words):
            tried.append(attempt(entry))
            print(_line(tried[-1]), file=sys.stderr, flush=True)
    text = table(tried)
    if words:
        print(text)
    else:
        page = PAGE.read_text("utf-8")
        before, rest = page.split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{text}{END}{rest.split(END)[1]}", "utf-8")
    return 0 if share(tried) >= 0.7 else 1


def attempt(entry: Entry) -> Tried:
    """Fit and compile an entry, in one thread."""
    start = time.process_time()
    with warnings.catch_warnings(), threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        try:
            estimator = compiled_corpus.fitted(entry)
        except Exception as error:  # noqa: BLE001  # estimators raise anything
            return Tried(entry, unfit=f"{type(error).__name__}: {error}")
        try:
            artefact = estimators.adapt(estimator, "model.pkl")
        except ModelBroken as error:
            return Tried(entry, unfit=str(error))
        found = choice.choose(artefact, [], Path(folder) / "form")
    return Tried(entry, found, seconds=time.process_time() - start)


def share(tried: Sequence[Tried]) -> float:
    """Return which share of the entries that were fitted is compiled and equal."""
    counted = [one for one in tried if not one.unfit]
    return sum(one.is_equal for one in counted) / max(1, len(counted))


# --- the table ------------------------------------------------------------------------------------


def table(tried: Sequence[Tried]) -> str:
    """Render the table as Markdown, with the share of each group above it."""
    counted = [one for one in tried if not one.unfit]
    equal = sum(one.is_equal for one in counted)
    lines = [
        f"**{equal} of {len(counted)} are compiled and equal: {share(tried):.0%}.** "
        "Speed-up: of the processor time of one call, with one row and with 16.",
        "",
        "| estimator | compiled | speed-up, 1 / 16 rows | rows | largest difference | why not |",
        "|---|---|---|---|---|---|",
    ]
    for group in dict.fromkeys(one.entry.group for one in counted):
        within = [one for one in counted if one.entry.group == group]
        done = sum(one.is_equal for one in within)
        lines.append(f"| **{group}: {done} of {len(within)}** | | | | | |")
        lines += map(_row, within)
    if unfit := [one.entry.name for one in tried if one.unfit]:
        lines += ["", f"Not fitted on this table, and not counted: {', '.join(unfit)}."]
    return "\n".join(lines) + "\n"


def _row(one: Tried) -> str:
    found = one.compilation
    assert found
    if not one.is_equal:
        reason = found.reason[:LONGEST].replace("|", "\\|")
        return f"| {one.entry.name} | no | | {found.rows or ''} | | {reason} |"
    speed = f"{found.speedup:.0f} / {found.speedup_batch:.0f}"
    largest = "none" if not found.max_difference else f"{found.max_difference:.0e}"
    return f"| {one.entry.name} | {found.backend} | {speed} | {found.rows} | {largest} | |"


def _line(one: Tried) -> str:
    if one.unfit:
        return f"  --  {one.entry.name}: {one.unfit[:150]}"
    found = one.compilation
    assert found
    told = (
        f"{found.backend} {found.speedup} {found.speedup_batch}" if one.is_equal else found.reason
    )
    mark = "ok" if one.is_equal else "NO"
    return f"  {mark}  {one.entry.name} ({one.seconds:.1f} s): {told[:400]}"


if __name__ == "__main__":
    sys.exit(main())
