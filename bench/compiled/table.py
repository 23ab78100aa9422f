"""The table of docs/compiled.md."""

from __future__ import annotations

from collections.abc import Sequence

from bench.compiled.attempts import Attempt

LONGEST = 220
"""Characters of a reason in the table."""


def share(tried: Sequence[Attempt]) -> float:
    """Return which share of the entries that were fitted is compiled and equal."""
    counted = [one for one in tried if not one.unfit]
    return sum(one.is_equal for one in counted) / max(1, len(counted))


def table(tried: Sequence[Attempt]) -> str:
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


def _row(one: Attempt) -> str:
    found = one.compilation
    assert found
    if not one.is_equal:
        reason = found.reason[:LONGEST].replace("|", "\\|")
        return f"| {one.entry.name} | no | | {found.rows or ''} | | {reason} |"
    speed = f"{found.speedup:.0f} / {found.speedup_batch:.0f}"
    largest = "none" if not found.max_difference else f"{found.max_difference:.0e}"
    return f"| {one.entry.name} | {found.backend} | {speed} | {found.rows} | {largest} | |"
