"""Schedules: text in, times out."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from modelsync.errors import SettingsError
from modelsync.sync.schedule import Schedule, local_zone

BERLIN = ZoneInfo("Europe/Berlin")


def berlin(year: int, month: int, day: int, hour: int, minute: int, second: int = 0) -> datetime:
    """A time as clocks in Berlin show it."""
    return datetime(year, month, day, hour, minute, second, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("0 2 * * *", berlin(2026, 3, 11, 2, 0)),
        ("*/15 * * * *", berlin(2026, 3, 10, 12, 15)),
        ("30 6 * * MON-FRI", berlin(2026, 3, 11, 6, 30)),
        ("@hourly", berlin(2026, 3, 10, 13, 0)),
        ("@daily", berlin(2026, 3, 11, 0, 0)),
        ("@Weekly", berlin(2026, 3, 15, 0, 0)),
        ("@monthly", berlin(2026, 4, 1, 0, 0)),
        ("@yearly", berlin(2027, 1, 1, 0, 0)),
        ("@every 30s", berlin(2026, 3, 10, 12, 0, 30)),
        ("@every 5m", berlin(2026, 3, 10, 12, 5)),
        ("  @every 2h ", berlin(2026, 3, 10, 14, 0)),
    ],
)
def test_next_time(text: str, due: datetime) -> None:
    """Each way of writing a schedule gives the time one would read from it."""
    assert Schedule.parse(text, BERLIN).next_after(berlin(2026, 3, 10, 12, 0)) == due


def test_the_next_time_is_later_than_now() -> None:
    """A sync that ends in the second it was due is not run again at once."""
    assert Schedule.parse("0 2 * * *", BERLIN).next_after(berlin(2026, 3, 10, 2, 0)) == berlin(
        2026, 3, 11, 2, 0
    )


def test_off_is_never() -> None:
    """`off` leaves syncing to webhooks and people."""
    assert Schedule.parse("off").next_after(berlin(2026, 3, 10, 12, 0)) is None


def test_now_may_be_in_any_zone() -> None:
    """The schedule is read in its own zone, whatever zone the clock is read in."""
    now = datetime(2026, 3, 10, 11, 0, tzinfo=UTC)
    assert Schedule.parse("0 2 * * *", BERLIN).next_after(now) == datetime(
        2026, 3, 11, 1, 0, tzinfo=UTC
    )


def test_a_skipped_hour_runs_right_after_the_gap() -> None:
    """On the night when 2:30 does not exist, the daily sync is not lost."""
    due = Schedule.parse("30 2 * * *", BERLIN).next_after(berlin(2026, 3, 28, 12, 0))
    assert due == berlin(2026, 3, 29, 3, 0)


def test_a_repeated_hour_runs_once() -> None:
    """On the night when 2:30 comes twice, the daily sync runs once."""
    schedule = Schedule.parse("30 2 * * *", BERLIN)
    first = schedule.next_after(berlin(2026, 10, 24, 12, 0))
    assert first is not None
    second = schedule.next_after(first)
    assert second is not None
    assert (first.date().isoformat(), second.date().isoformat()) == ("2026-10-25", "2026-10-26")


def test_local_zone_is_the_default() -> None:
    """Without a zone the machine's own is used."""
    now = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
    expected = Schedule.parse("0 2 * * *", local_zone()).next_after(now)
    assert Schedule.parse("0 2 * * *").next_after(now) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "daily",
            "@reboot",
            "@every",
            "@every 5",
            "@every 0m",
            "@every 5d",
            "@every -5m",
            "a b c d e",
        ),
        *("61 * * * *", "0 2 * *", "0 0 30 2 *", "0 0 2 * * *"),
    ],
)
def test_bad_text_says_what_to_write(text: str) -> None:
    """What is no schedule is refused with the setting's name and what to write."""
    with pytest.raises(
        SettingsError, match=r"MODELSYNC_SYNC_CRON .* write five cron fields .*@every 5m"
    ):
        Schedule.parse(text)


def test_intervals_are_whole() -> None:
    """An interval is counted from the time given, to the second."""
    assert Schedule.parse("@every 90s") == Schedule(every=timedelta(seconds=90))
