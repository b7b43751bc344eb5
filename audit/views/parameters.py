"""Query parameters that several routes of audit take."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils import timezone

from core.kernel.errors import Fault

TIME = {"type": "string", "format": "date-time"}
PERIOD = {
    "since": {**TIME, "description": "From this time on."},
    "until": {**TIME, "description": "Before this time; by default now."},
}


def read_time(given: Mapping[str, str], name: str, zone: str, faults: list[Fault]) -> datetime | None:
    """A moment as ISO 8601; without an offset it is read in `zone`. None where it is not given or is no moment."""
    text = given.get(name)
    if text is None:
        return None
    try:
        # A plus in a query string is a blank, if it was not written otherwise.
        moment = datetime.fromisoformat(
            text.replace(" ", "+") if text.count(" ") == 1 and "T" in text else text
        )
        return moment if timezone.is_aware(moment) else moment.replace(tzinfo=ZoneInfo(zone))
    except ValueError:
        detail = "A time as ISO 8601 is expected, such as 2026-11-30T09:00:00Z."
        faults.append(Fault(name, "not_a_datetime", detail))
        return None


def read_id(given: Mapping[str, str], name: str, faults: list[Fault]) -> UUID | None:
    text = given.get(name)
    if not text:
        faults.append(Fault(name, "required", "This is required."))
        return None
    try:
        return UUID(text)
    except ValueError:
        faults.append(Fault(name, "not_an_id", "An id is expected."))
        return None


def read_period(
    given: Mapping[str, str], zone: str, default: timedelta, now: datetime, faults: list[Fault]
) -> tuple[datetime, datetime]:
    """`since` and `until`; by default the time before `until`, and now."""
    until = read_time(given, "until", zone, faults) or now
    try:
        since = read_time(given, "since", zone, faults) or until - default
    except OverflowError:
        faults.append(Fault("until", "not_a_datetime", "This time is too early."))
        return now, now
    if since > until:
        faults.append(Fault("since", "too_large", "The time ends before it begins."))
    return since, until
