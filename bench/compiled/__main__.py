"""`python -m bench.compiled [WORD ...]`: compile the corpus, and write its table into
docs/compiled.md.

Each line of the table: whether the estimator compiles, whether its compiled form answers the same,
and how many times less processor time a call takes. With words, only entries are tried whose name
has one of them, and nothing is written.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.compiled import corpus
from bench.compiled.attempts import Attempt, attempt
from bench.compiled.table import share, table

PAGE = Path(__file__).parents[2] / "docs" / "compiled.md"
BEGIN, END = "<!-- corpus:begin -->\n", "<!-- corpus:end -->"
ENOUGH = 0.7
"""The share of the corpus that must be compiled and equal."""


def main() -> int:
    """0 if enough of the corpus is compiled and equal."""
    words = [word.lower() for word in sys.argv[1:]]
    tried = []
    for entry in corpus.entries():
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
    return 0 if share(tried) >= ENOUGH else 1


def _line(one: Attempt) -> str:
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
