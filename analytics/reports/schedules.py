"""When a report is due."""

from __future__ import annotations

import itertools
import zoneinfo
from calendar import monthrange
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from croniter import croniter
from pydantic import ValidationError

from analytics.reports.models import Frequency
from analytics.reports.schemas import ScheduleDocument
from core.kernel.errors import Fault

# How often a report may be sent: each hour at most, whatever the expression says.
LEAST_SPAN = timedelta(hours=1)


def read_schedule(document: Any, frequency: str) -> tuple[ScheduleDocument | None, list[Fault]]:
    """The schedule, and what is wrong with it."""
    try:
        found = ScheduleDocument.model_validate(document or {})
    except ValidationError as error:
        return None, [
            Fault(".".join(["schedule", *map(str, item["loc"])]), "invalid", f"{item['msg']}.")
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
    faults = []
    if found.timezone and found.timezone not in zoneinfo.available_timezones():
        faults.append(
            Fault("schedule.timezone", "not_a_timezone", "A time zone such as Europe/Berlin is expected.")
        )
    if frequency == Frequency.CRON:
        if len(found.cron.split()) != 5 or not croniter.is_valid(found.cron):
            detail = "Five parts are expected, such as 0 8 * * 1-5."
            faults.append(Fault("schedule.cron", "bad_cron", detail))
        elif _is_too_often(found.cron):
            faults.append(Fault("schedule.cron", "too_often", "A report is sent at most once an hour."))
    return (None if faults else found), faults


def _is_too_often(cron: str) -> bool:
    times = croniter(cron, datetime(2026, 1, 1, tzinfo=UTC))
    try:
        found = [times.get_next(datetime) for _ in range(50)]
    except ValueError:
        return False
    return any(later - earlier < LEAST_SPAN for earlier, later in itertools.pairwise(found))


def next_time(document: Mapping[str, Any], frequency: str, zone: str, after: datetime) -> datetime:
    """The first time later than `after` at which a report with this schedule is due."""
    schedule = ScheduleDocument.model_validate(document or {})
    clocks = zoneinfo.ZoneInfo(schedule.timezone or zone)
    if frequency == Frequency.CRON:
        found: datetime = croniter(schedule.cron, after.astimezone(clocks)).get_next(datetime)
        return found.astimezone(UTC)
    hour, minute = map(int, schedule.time.split(":"))
    day = after.astimezone(clocks).date()
    while True:
        if _falls_on(schedule, frequency, day):
            due = datetime.combine(day, time(hour, minute), clocks).astimezone(UTC)
            if due > after:
                return due
        day += timedelta(days=1)


def _falls_on(schedule: ScheduleDocument, frequency: str, day: date) -> bool:
    if frequency == Frequency.WEEKLY:
        return day.isoweekday() == schedule.weekday
    if frequency == Frequency.MONTHLY:
        return day.day == min(schedule.day, monthrange(day.year, day.month)[1])
    return True
