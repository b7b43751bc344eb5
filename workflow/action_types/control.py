"""Actions that decide how a run goes on: wait, branch, loop, stop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from core.access import view
from core.entities import entities
from core.kernel.errors import Fault
from workflow.definitions import Setting
from workflow.event_types import find_event_type
from workflow.registries import ACTION_TYPES, ControlType
from workflow.schemas import Part

MAX_ITEMS = 100
MAX_WAIT_DAYS = 366


class Wait(Part):
    """Either a length of time, a date or time of the record, or an event of the record with a limit."""

    days: int = Field(0, ge=0, le=MAX_WAIT_DAYS)
    hours: int = Field(0, ge=0, le=MAX_WAIT_DAYS * 24)
    minutes: int = Field(0, ge=0, le=MAX_WAIT_DAYS * 1440)
    until: str = Field("", max_length=200, examples=["{{ record.close_date }}"])
    event: str = Field("", max_length=128, examples=["deal.won"])
    timeout_hours: int = Field(0, ge=0, le=MAX_WAIT_DAYS * 24)


class Branch(Part):
    """Takes the actions in `then` where the conditions hold of the record now, those in `else` otherwise."""

    conditions: dict[str, Any]


class ForEach(Part):
    """Runs `actions` for each record of `entity` whose `relation` leads to the record, at most `limit` of them."""

    entity: str = Field(max_length=64)
    relation: str = Field(max_length=64)
    conditions: dict[str, Any] | None = None
    limit: int = Field(MAX_ITEMS, ge=1, le=MAX_ITEMS)


class Stop(Part):
    """Ends the run here; it has succeeded."""

    reason: str = Field("", max_length=200)


def _check_wait(setting: Setting, payload: Wait) -> Iterable[Fault]:
    ways = [bool(payload.days or payload.hours or payload.minutes), bool(payload.until), bool(payload.event)]
    if sum(ways) != 1:
        yield Fault("", "one_of", "Wait for a length of time, until a date, or for an event.")
    if payload.event:
        event = find_event_type(payload.event)
        if event is None or setting.entity is None or event.entity != setting.entity.name:
            yield Fault("event", "not_a_choice", "There is no such event of this record.")
        if not payload.timeout_hours:
            yield Fault("timeout_hours", "required", "Say for how long to wait at most.")
    elif payload.timeout_hours:
        yield Fault("timeout_hours", "not_expected", "Only waiting for an event has a limit.")


def _check_branch(setting: Setting, payload: Branch) -> Iterable[Fault]:
    return setting.condition_faults(payload.conditions, "conditions")


def _check_loop(setting: Setting, payload: ForEach) -> Iterable[Fault]:
    entity = entities.find(payload.entity)
    if entity is None or not setting.actor.rights.can("read", payload.entity):
        yield Fault("entity", "not_a_choice", "There is no such entity.")
        return
    asked = view(entity, setting.actor).askable.get(payload.relation)
    if setting.entity is None or asked is None or asked.to != setting.entity.name:
        yield Fault("relation", "not_a_choice", "No relation of this name leads to the record.")
    elif payload.conditions:
        yield from setting.about(payload.entity).condition_faults(payload.conditions, "conditions")


def _summarize_wait(payload: Mapping[str, Any]) -> str:
    if payload.get("event"):
        return f"Wait for {payload['event']}, at most {payload.get('timeout_hours')} hours"
    if payload.get("until"):
        return f"Wait until {payload['until']}"
    parts = [f"{payload[unit]} {unit}" for unit in ("days", "hours", "minutes") if payload.get(unit)]
    return f"Wait {' '.join(parts)}"


ACTION_TYPES.register(
    "wait",
    ControlType(
        name="wait",
        label="Wait",
        description="Go on later: after a length of time, at a date of the record, or when something happens to it.",
        payload=Wait,
        summarize=_summarize_wait,
        check=_check_wait,
    ),
)
ACTION_TYPES.register(
    "branch",
    ControlType(
        name="branch",
        label="If … else",
        description="Take one way where conditions hold, another one otherwise.",
        payload=Branch,
        summarize=lambda payload: "Decide by conditions",
        check=_check_branch,
        branches=("then", "else"),
        verbatim=frozenset({"conditions"}),
    ),
)
ACTION_TYPES.register(
    "for_each",
    ControlType(
        name="for_each",
        label="For each related record",
        description="Do something for each record that leads to this one.",
        payload=ForEach,
        summarize=lambda payload: f"For each {payload.get('entity')} by its {payload.get('relation')}",
        check=_check_loop,
        branches=("actions",),
        verbatim=frozenset({"conditions"}),
    ),
)
ACTION_TYPES.register(
    "stop",
    ControlType(
        name="stop",
        label="Stop",
        description="End the run here.",
        payload=Stop,
        summarize=lambda payload: f"Stop: {payload['reason']}" if payload.get("reason") else "Stop",
    ),
)
