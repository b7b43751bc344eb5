"""From a workflow's document to what it means: every fault of triggers, conditions, actions and templates with its path."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from typing import Any

from croniter import CroniterError, croniter
from django.conf import settings

from core.access import EntityView, view
from core.access.related import split_path
from core.conditions import Condition, compile_condition
from core.entities import Entity, entities
from core.entities.kinds import Kind
from core.kernel.errors import DomainError, Fault
from core.tenancy.actors import Actor
from workflow import expressions, templates
from workflow.event_types import EVENT_FIELDS, ChangedRecords, find_event_type
from workflow.registries import ACTION_TYPES, ControlType
from workflow.schemas import BRANCHES, ActionDocument, TriggerDocument, read_part, read_parts

MAX_TRIGGERS = 20
# Branches and loops inside each other.
MAX_NESTING = 4


@dataclass(frozen=True)
class Setting:
    """What a part of a workflow is read against: the kind of record it is about there, and in whose name it will run."""

    actor: Actor
    entity: Entity | None
    # Keys of the actions before it, whose outputs it may name.
    steps: frozenset[str] = frozenset()
    on_events: bool = True

    @property
    def view(self) -> EntityView | None:
        return None if self.entity is None else view(self.entity, self.actor)

    def about(self, entity: str) -> Setting:
        return replace(self, entity=entities[entity])

    def condition_faults(self, document: Any, path: str, *, old_values: bool = False) -> list[Fault]:
        if self.entity is None:
            return [Fault(path, "no_record", "There is no record here to ask.")]
        try:
            compile_for(self.actor, self.entity, document, old_values=old_values)
        except DomainError as refusal:
            return [fault.below(path) for fault in refusal.faults]
        return []

    def template_faults(self, value: Any, path: str) -> list[Fault]:
        """Places of templates that name nothing."""
        if isinstance(value, Mapping):
            return [
                fault
                for name, item in value.items()
                for fault in self.template_faults(item, f"{path}.{name}")
            ]
        if isinstance(value, list):
            return [
                fault
                for place, item in enumerate(value)
                for fault in self.template_faults(item, f"{path}.{place}")
            ]
        if not isinstance(value, str):
            return []
        try:
            named = list(templates.paths_in(value))
        except templates.BadTemplate as bad:
            return [Fault(path, "bad_template", str(bad))]
        return [fault for name in named if (fault := self.path_fault(name, path)) is not None]

    def expression_faults(self, text: Any, path: str) -> list[Fault]:
        if not isinstance(text, str):
            return [Fault(path, "not_text", "A text is expected.")]
        try:
            tree = expressions.read(text)
        except expressions.BadExpression as bad:
            return [Fault(path, "bad_expression", str(bad))]
        return [
            fault for name in expressions.paths_of(tree) if (fault := self.path_fault(name, path)) is not None
        ]

    def path_fault(self, name: str, path: str) -> Fault | None:
        root, _, rest = name.partition(".")
        unknown = Fault(path, "unknown_field", f"There is nothing called {name!r} here.")
        if root == "event":
            return None if rest in EVENT_FIELDS else unknown
        if root == "steps":
            return None if rest.partition(".")[0] in self.steps else unknown
        if root == "run":
            return None if rest in ("id", "workflow") else unknown
        if self.entity is None:
            return Fault(path, "no_record", f"There is no record here for {name!r}.")
        if root == "trigger_record" or rest in ("id", "url"):
            return None
        source = self.view
        names = split_path(rest)
        for step in names[:-1]:
            if source is None or step not in source.access.relations or step not in source.fields:
                return unknown
            source = view(source.access.relations[step], self.actor)
        return None if source is not None and names and names[-1] in source.fields else unknown


def zone_of(actor: Actor, name: str = "") -> tzinfo:
    try:
        return zoneinfo.ZoneInfo(name or actor.zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def compile_for(
    actor: Actor, entity: Entity, document: Any, *, old_values: bool, in_memory: bool = True
) -> Condition:
    """A condition over the entity as the actor may ask it. Raises: Invalid, Forbidden."""
    source = view(entity, actor)
    return compile_condition(
        document,
        ChangedRecords(source) if in_memory else source,
        zone=zone_of(actor),
        old_values=old_values,
        in_memory=in_memory,
    )


@dataclass
class Definition:
    """A workflow's document, read."""

    entity_type: str
    triggers: list[TriggerDocument] = field(default_factory=list)
    actions: list[ActionDocument] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def every_action(self) -> Iterator[ActionDocument]:
        return _every(self.actions)


def _every(actions: list[ActionDocument]) -> Iterator[ActionDocument]:
    for action in actions:
        yield action
        for branch in BRANCHES:
            yield from _every(action.inside(branch))


def read_definition(
    *, actor: Actor, workflow_type: str, entity_type: str, triggers: Any, actions: Any
) -> Definition:
    """The document as `actor` would run it, with all its faults. Needs the company in context."""
    faults: list[Fault] = []
    found = Definition(entity_type, faults=faults)
    if entity_type and entity_type not in entities:
        faults.append(Fault("entity_type", "not_a_choice", "There is no such entity."))
        found.entity_type = ""
    found.triggers = _triggers(found, actor, workflow_type, triggers)
    found.actions = [item for item in read_parts(ActionDocument, actions, "actions", faults) if item]
    limit = settings.WORKFLOW_MAX_ACTIONS
    if sum(1 for _ in found.every_action()) > limit:
        faults.append(Fault("actions", "too_many", f"At most {limit} actions are allowed."))
    elif not faults:
        _name(found.actions, "a", "actions", set(), faults)
        entity = entities.find(found.entity_type) if found.entity_type else None
        setting = Setting(actor, entity, on_events=workflow_type == "automation")
        _actions(setting, found.actions, "actions", 0, faults)
    return found


# --- triggers --------------------------------------------------------------------------------------------------


def _triggers(found: Definition, actor: Actor, workflow_type: str, documents: Any) -> list[TriggerDocument]:
    faults = found.faults
    triggers: list[TriggerDocument] = []
    read = read_parts(TriggerDocument, documents, "triggers", faults)
    if len(read) > MAX_TRIGGERS:
        faults.append(Fault("triggers", "too_many", f"At most {MAX_TRIGGERS} triggers are allowed."))
        return []
    keys = set()
    for place, trigger in enumerate(read):
        if trigger is None:
            continue
        path = f"triggers.{place}"
        before = len(faults)
        trigger.key = trigger.key or f"t{place + 1}"
        if trigger.key in keys:
            faults.append(Fault(f"{path}.key", "duplicate", "Two triggers have this key."))
        keys.add(trigger.key)
        ways = [name for name in ("event_type", "schedule", "relative_to") if getattr(trigger, name)]
        if len(ways) != 1:
            faults.append(Fault(path, "one_of", "A trigger has one of event_type, schedule and relative_to."))
        elif workflow_type == "manual":
            faults.append(Fault(path, "not_expected", "A manual workflow has no triggers."))
        elif trigger.event_type:
            _event(found, trigger, path)
        elif trigger.schedule is not None:
            _schedule(actor, trigger, path, faults)
        if len(faults) == before:
            triggers.append(trigger)
    for trigger in triggers:
        path = f"triggers.{read.index(trigger)}"
        entity = entities.find(found.entity_type) if found.entity_type else None
        setting = Setting(actor, entity)
        if trigger.relative_to is not None:
            faults += _relative(setting, trigger, path)
        if trigger.conditions:
            old_values = bool(trigger.event_type)
            faults += setting.condition_faults(
                trigger.conditions, f"{path}.conditions", old_values=old_values
            )
            if not old_values and entity is not None and not faults:
                try:
                    compile_for(actor, entity, trigger.conditions, old_values=False, in_memory=False)
                except DomainError as refusal:
                    faults += [fault.below(f"{path}.conditions") for fault in refusal.faults]
    return triggers


def _event(found: Definition, trigger: TriggerDocument, path: str) -> None:
    event = find_event_type(trigger.event_type)
    if event is None:
        found.faults.append(Fault(f"{path}.event_type", "not_a_choice", "There is no such event."))
        return
    trigger.event_type = event.name
    about = event.entity if event.entity in entities else ""
    if about and not found.entity_type:
        found.entity_type = about
    elif about and about != found.entity_type:
        found.faults.append(
            Fault(
                f"{path}.event_type",
                "other_entity",
                f"The workflow is about {found.entity_type}; this event is about {about}.",
            )
        )


def _schedule(actor: Actor, trigger: TriggerDocument, path: str, faults: list[Fault]) -> None:
    schedule = trigger.schedule
    assert schedule is not None  # noqa: S101 - the caller asked
    if schedule.timezone and schedule.timezone not in zoneinfo.available_timezones():
        faults.append(Fault(f"{path}.schedule.timezone", "not_a_choice", "There is no such time zone."))
    if len(schedule.cron.split()) != 5 or not croniter.is_valid(schedule.cron):
        detail = "A cron expression of five parts is expected, such as 0 9 * * 1-5."
        faults.append(Fault(f"{path}.schedule.cron", "bad_cron", detail))
        return
    try:
        next_cron_time({"cron": schedule.cron}, datetime.now(UTC), actor)
    except CroniterError:
        faults.append(Fault(f"{path}.schedule.cron", "bad_cron", "There is no such time in the calendar."))


def _relative(setting: Setting, trigger: TriggerDocument, path: str) -> list[Fault]:
    relative = trigger.relative_to
    assert relative is not None  # noqa: S101 - the caller asked
    if setting.view is None:
        return [Fault("entity_type", "required", "Say which records the date is of.")]
    asked = setting.view.askable.get(relative.field)
    if asked is None or asked.kind not in (Kind.DATE, Kind.DATETIME):
        return [Fault(f"{path}.relative_to.field", "not_a_date", "There is no date of this name.")]
    return []


def next_cron_time(document: Mapping[str, Any], after: datetime, actor: Actor) -> datetime:
    """The first time of a schedule that is later than `after`."""
    zone = zone_of(actor, document.get("timezone", ""))
    found: datetime = croniter(document["cron"], after.astimezone(zone)).get_next(datetime)
    return found.astimezone(UTC)


# --- actions ---------------------------------------------------------------------------------------------------


def _name(actions: list[ActionDocument], prefix: str, path: str, keys: set[str], faults: list[Fault]) -> None:
    for place, action in enumerate(actions):
        action.key = action.key or f"{prefix}{place + 1}"
        if action.key in keys:
            faults.append(Fault(f"{path}.{place}.key", "duplicate", "Two actions have this key."))
        keys.add(action.key)
        for branch in BRANCHES:
            _name(
                action.inside(branch), f"{action.key}_{branch[0]}", f"{path}.{place}.{branch}", keys, faults
            )


def _actions(
    setting: Setting, actions: list[ActionDocument], path: str, depth: int, faults: list[Fault]
) -> None:
    if depth > MAX_NESTING:
        faults.append(
            Fault(path, "too_deep", f"At most {MAX_NESTING} actions inside each other are allowed.")
        )
        return
    known = setting.steps
    for place, action in sorted(enumerate(actions), key=lambda item: item[1].ordering):
        here = f"{path}.{place}"
        now = replace(setting, steps=known)
        _action(now, action, here, depth, faults)
        known |= {str(action.key)} | {str(inner.key) for inner in _every([action])}


def _action(setting: Setting, action: ActionDocument, path: str, depth: int, faults: list[Fault]) -> None:
    kind = ACTION_TYPES.find(action.action_type)
    if kind is None:
        choices = ", ".join(ACTION_TYPES.names())
        faults.append(Fault(f"{path}.action_type", "not_a_choice", f"Choose one of: {choices}."))
        return
    branches = kind.branches if isinstance(kind, ControlType) else ()
    for branch in BRANCHES:
        if branch not in branches and action.inside(branch):
            faults.append(
                Fault(f"{path}.{branch}", "not_expected", f"{kind.name} has no actions of this name.")
            )
    if not isinstance(kind, ControlType) and kind.needs_record and setting.entity is None:
        faults.append(Fault(path, "no_record", f"{kind.name} needs a record; say entity_type."))
        return
    if action.retry is not None and (isinstance(kind, ControlType) or not kind.leaves_database):
        faults.append(Fault(f"{path}.retry", "not_expected", "Only what leaves the database is tried again."))
    if action.conditions:
        faults += setting.condition_faults(action.conditions, f"{path}.conditions")
    before = len(faults)
    payload = read_part(kind.payload, action.payload, f"{path}.payload", faults)
    templated = {name: value for name, value in action.payload.items() if name not in kind.verbatim}
    faults += setting.template_faults(templated, f"{path}.payload")
    if payload is not None and len(faults) == before:
        faults += [fault.below(f"{path}.payload") for fault in kind.check(setting, payload)]
    if len(faults) > before:
        return
    inner = setting
    if action.action_type == "for_each":
        inner = setting.about(action.payload["entity"])
    for branch in branches:
        _actions(inner, action.inside(branch), f"{path}.{branch}", depth + 1, faults)
