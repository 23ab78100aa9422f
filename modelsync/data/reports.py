"""Says in words what the check of some data has found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from modelsync.models.data_schema import CheckReport, ColumnChange, Violation
from modelsync.models.schemas.wording import shown

MAX_NAMED = 3
"""Rules that a summary names."""


def summary(report: CheckReport) -> str:
    """Return one line: how many rows fit, or which rules are broken, and by what."""
    rows = "1 row" if report.rows == 1 else f"{report.rows:,} rows"
    if report.passed:
        return f"{rows} of {report.source} fit schema.yml"
    broken = [_sentence(one) for one in report.violations[:MAX_NAMED]]
    more = len(report.violations) - MAX_NAMED
    if more > 0:
        broken.append(f"{more} more rule{'s' if more > 1 else ''} broken")
    return f"{report.source} ({rows}) breaks schema.yml: {'; '.join(broken)}"


def text(report: CheckReport) -> str:
    """Return a line for each rule that is broken, with the first rows, and for each change."""
    lines = [summary(report)] if report.passed else [_heading(report)]
    for one in report.violations:
        lines.append(f"  {_sentence(one)}")
        lines += [f"    row {row:,}: {shown(value)}" for row, value in one.examples]
        if one.count > len(one.examples) > 0:
            lines.append(f"    and {one.count - len(one.examples):,} more rows")
    lines += [f"  since the last good data: {_changed(one)}" for one in report.changes]
    return "\n".join(lines)


def masked(report: CheckReport, names: Iterable[str]) -> CheckReport:
    """Return the report without the values of these columns, in any case: MODELSYNC_SAMPLE_MASK.

    Whoever may predict reads the reports of trainings.
    """
    hidden = {name.casefold() for name in names}
    found = (
        replace(one, examples=()) if one.column.casefold() in hidden else one
        for one in report.violations
    )
    return replace(report, violations=tuple(found))


def _heading(report: CheckReport) -> str:
    count = len(report.violations)
    rules = "1 rule" if count == 1 else f"{count} rules"
    return f"{report.source}: {report.rows:,} rows, {rules} of schema.yml broken"


def _sentence(one: Violation) -> str:
    """Return what breaks one rule: column, rule, what it expects, how many rows do not fit."""
    if one.rule == "rows":
        return "the data is empty: expected at least one row"
    if one.rule == "missing":
        return f"{one.column}: missing: expected {one.expected}"
    rows = "1 row does not fit" if one.count == 1 else f"{one.count:,} rows do not fit"
    found = f"{one.column}: {one.rule}: expected {one.expected}; {rows}"
    if one.examples:
        row, value = one.examples[0]
        found += f", {'it' if one.count == 1 else 'the first'} is row {row:,} ({shown(value)})"
    return found


def _changed(one: ColumnChange) -> str:
    if one.change == "type":
        return f"column {one.column} was {one.before}, and is {one.now}"
    return f"column {one.column} has {one.change} ({one.before or one.now})"
