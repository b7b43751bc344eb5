"""Dates relative to now: `today`, `this_quarter`, `last_n_days:30` and the like, each a period of whole days.

Weeks begin on Monday, quarters in January. Days are those of a time zone, so a period of times begins at
its midnight.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

# About ten years.
MAX_DAYS = 3_660

NOW = "now"
_COUNTED = re.compile(r"^(last_n_days|next_n_days|n_days_ago|n_days_from_now):([0-9]{1,6})$")
_SPANS = {"week": 7, "month": 1, "quarter": 3, "year": 12}
_SHIFTS = {"last": -1, "this": 0, "next": 1}
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}

WORDS: dict[str, str] = {
    "now": "this moment (times only)",
    "yesterday": "the day before today",
    "today": "the day it is in the zone",
    "tomorrow": "the day after today",
    **{
        f"{shift}_{span}": f"the {span} {where} today"
        for span in _SPANS
        for shift, where in (("last", "before that of"), ("this", "of"), ("next", "after that of"))
    },
    "last_n_days:N": "today and the N days before it",
    "next_n_days:N": "the N days after today",
    "n_days_ago:N": "the one day N days before today",
    "n_days_from_now:N": "the one day N days after today",
}


class TooFar(Exception):
    """A relative date counts more days than `MAX_DAYS`."""


class Period:
    """Some whole days."""

    __slots__ = ()

    def days(self, today: date) -> tuple[date, date]:
        """The first day, and the first day after."""
        raise NotImplementedError

    def dates(self, now: datetime, zone: tzinfo) -> tuple[date, date]:
        return self.days(now.astimezone(zone).date())

    def moments(self, now: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
        """The first moment, and the first moment after, in UTC."""
        start, after = self.dates(now, zone)
        return midnight(start, zone), midnight(after, zone)


@dataclass(frozen=True, slots=True)
class Day(Period):
    """One day of the calendar, asked of a time."""

    day: date

    def days(self, today: date) -> tuple[date, date]:
        return self.day, self.day + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Moment:
    """`now`"""


@dataclass(frozen=True, slots=True)
class Relative(Period):
    """A word for a period; `count` belongs to those that end in `:N`."""

    word: str
    count: int = 0

    @classmethod
    def read(cls, text: str) -> Relative | Moment | None:
        """The relative date a text says, or None.

        Raises: TooFar.
        """
        if text == NOW:
            return Moment()
        counted = _COUNTED.match(text)
        if counted:
            count = int(counted[2])
            if count > MAX_DAYS:
                raise TooFar(f"At most {MAX_DAYS} days are allowed.")
            return cls(counted[1], count)
        return cls(text) if text in WORDS and not text.endswith(":N") else None

    def days(self, today: date) -> tuple[date, date]:
        one = timedelta(days=1)
        if self.word in _DAYS:
            start = today + _DAYS[self.word] * one
            return start, start + one
        if self.word == "last_n_days":
            return today - self.count * one, today + one
        if self.word == "next_n_days":
            return today + one, today + (self.count + 1) * one
        if self.word in ("n_days_ago", "n_days_from_now"):
            start = today + (self.count if self.word == "n_days_from_now" else -self.count) * one
            return start, start + one
        shift, _, span = self.word.partition("_")
        return _span(span, _SHIFTS[shift], today)


def midnight(day: date, zone: tzinfo) -> datetime:
    """The beginning of a day of the zone, in UTC."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def _span(span: str, shift: int, today: date) -> tuple[date, date]:
    if span == "week":
        start = today - timedelta(days=today.weekday()) + timedelta(weeks=shift)
        return start, start + timedelta(weeks=1)
    months = _SPANS[span]
    first = (today.year * 12 + today.month - 1) // months * months + shift * months
    return _month(first), _month(first + months)


def _month(count: int) -> date:
    return date(count // 12, count % 12 + 1, 1)
