"""A schedule: when the next sync or training is due, from `MODELSYNC_SYNC_CRON` or
`MODELSYNC_TRAIN_CRON`.

Times are arguments: nothing here waits or reads a clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfoNotFoundError

import tzlocal
from cronsim import CronSim, CronSimError

from modelsync.backoff import Backoff
from modelsync.errors import SettingsError
from modelsync.settings import Settings

NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""The nicknames of crontab(5), without `@reboot`: each start syncs anyway."""

ADVICE = (
    'write five cron fields such as "0 2 * * *", or @hourly, @daily, @weekly, "@every 5m", or off'
)

RETRY = Backoff(first=5.0, most=300.0)
"""Seconds between a failed sync and the next try."""

RECHECK = Backoff(first=5.0, most=1800.0)
"""Seconds until a model is tried again that is broken for a reason that may pass: a check can take
a minute of a processor each time.
"""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}


@dataclass(frozen=True, slots=True)
class Schedule:
    """A cron expression in one time zone, an interval, or never (neither is set)."""

    cron: str = ""
    every: timedelta | None = None
    zone: tzinfo = UTC

    @classmethod
    def parse(
        cls, text: str, zone: tzinfo | None = None, setting: str = "MODELSYNC_SYNC_CRON"
    ) -> Schedule:
        """Read five cron fields, a nickname, `@every 5m` (s, m, h) or `off`.

        The time zone is the machine's, unless `zone` is given. Raises SettingsError, which names
        the setting, with advice.
        """
        words = text.strip().lower()
        if words == "off":
            return cls()
        if words.startswith("@every"):
            return cls(every=_interval(text, words.removeprefix("@every"), setting))
        cron = NICKNAMES.get(words, text.strip())
        zone = zone or local_zone()
        if cron.startswith("@") or len(cron.split()) != 5:
            raise _bad(text, setting)
        try:
            CronSim(cron, datetime(2000, 1, 1, tzinfo=zone))
        except CronSimError as error:
            raise _bad(text, setting, str(error)) from None
        return cls(cron=cron, zone=zone)

    def next_after(self, now: datetime) -> datetime | None:
        """The first time strictly after `now` (with a zone) that is due; None if there is none.

        Clock changes are handled by cronsim as by Debian's cron: a fixed hour that is skipped runs
        right after the gap, one that is repeated runs once; `*` hours follow the clock.
        """
        if self.every:
            return now + self.every
        if not self.cron:
            return None
        return next(CronSim(self.cron, now.astimezone(self.zone)), None)


def training_schedule(config: Settings) -> Schedule:
    """Return when all models are trained. Raises SettingsError."""
    return Schedule.parse(config.continuous.cron, setting="MODELSYNC_TRAIN_CRON")


def local_zone() -> tzinfo:
    """The machine's time zone (`TZ`, /etc/localtime) with its clock changes; UTC without one.

    A fixed offset, as `datetime.astimezone()` gives, would be wrong after the next clock change.
    Raises SettingsError if the zone is unknown.
    """
    try:
        return tzlocal.get_localzone()
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise SettingsError(
            f"the machine's time zone is unknown, set TZ: {_one_line(error)}"
        ) from None


def _interval(text: str, rest: str, setting: str) -> timedelta:
    match = re.fullmatch(r"\s+(\d{1,6})\s*([smh])", rest)
    if not match or not int(match[1]):
        raise _bad(text, setting)
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _bad(text: str, setting: str, why: str = "") -> SettingsError:
    return SettingsError(
        f"{setting} {text.strip()!r} is not a schedule{f' ({why})' if why else ''}: {ADVICE}"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
