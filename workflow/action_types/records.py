"""Actions on records: all write through the one door, with the rights of whoever the workflow runs as."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import Field

from core.access import EntityView, view
from core.access import actions as declared
from core.access.actions import perform
from core.access.writing import change_record, create_record
from core.entities import ACTIONS, entities
from core.entities.actions import actions_of
from core.kernel.errors import DomainError, Fault
from workflow import templates
from workflow.definitions import Setting, zone_of
from workflow.registries import ACTION_TYPES, ActionType
from workflow.schemas import Part
from workflow.steps import EXPRESSION, Step


class UpdateField(Part):
    """Sets one field, or several. A value is JSON, a text with templates, or `{"expression": "record.amount * 2"}`."""

    field: str = Field("", max_length=128)
    value: Any = None
    fields: dict[str, Any] = Field(default_factory=dict)


class CreateRecord(Part):
    """Creates a record of any kind; `values` are those of its API."""

    entity: str = Field(max_length=64)
    values: dict[str, Any]


class CreateTask(Part):
    """Creates a task that belongs to the record; without an owner, the record's owner has it."""

    subject: str = Field(min_length=1, max_length=255)
    description: str = Field("", max_length=10_000)
    due_in_days: int | None = Field(None, ge=0, le=3650)
    priority: str = Field("", max_length=32)
    owner: str = Field("", max_length=200)


class AddNote(Part):
    """Adds a note to the record."""

    title: str = Field("", max_length=255)
    body: str = Field(min_length=1, max_length=10_000)


class AddTag(Part):
    """Adds tags to those that the record has."""

    tags: list[str] = Field(default_factory=list, max_length=50)
    tag: str = Field("", max_length=64)


class Perform(Part):
    """Performs an action that is declared for the record, such as qualify; `input` is its body."""

    action: str = Field(max_length=64)
    input: dict[str, Any] = Field(default_factory=dict)


# --- update_field ----------------------------------------------------------------------------------------------


def _changes(payload: Mapping[str, Any]) -> dict[str, Any]:
    named = {payload["field"]: payload.get("value")} if payload.get("field") else {}
    return {**(payload.get("fields") or {}), **named}


def _is_open(value: Any) -> bool:
    """Whether the value is known only when the run comes to it."""
    if isinstance(value, Mapping):
        return set(value) == {EXPRESSION} or any(_is_open(item) for item in value.values())
    if isinstance(value, list):
        return any(_is_open(item) for item in value)
    return templates.is_template(value)


def _value_faults(
    setting: Setting,
    target: EntityView,
    values: Mapping[str, Any],
    operation: str,
    path: Mapping[str, str],
    *,
    partial: bool = True,
) -> Iterable[Fault]:
    """Faults of values that are known already, and of expressions."""
    known = {name: value for name, value in values.items() if not _is_open(value)}
    for name, value in values.items():
        if isinstance(value, Mapping) and set(value) == {EXPRESSION}:
            yield from setting.expression_faults(value[EXPRESSION], path[name])
        if name not in known and name not in target.editable and not name.startswith("custom_fields"):
            yield Fault(path[name], "not_editable", f"{name!r} cannot be set.")
    try:
        target.read_input(known, partial=True, operation=operation)
    except DomainError as refusal:
        for fault in refusal.faults:
            name, dot, rest = fault.path.partition(".")
            yield Fault(f"{path.get(name, name)}{dot}{rest}", fault.code, fault.detail)
    if not partial:
        for name in target.editable:
            field = target.fields.get(name)
            if field is not None and field.required and name not in values:
                yield Fault(f"values.{name}", "required", "This field is required.")


def _check_update(setting: Setting, payload: UpdateField) -> Iterable[Fault]:
    values = _changes(payload.model_dump())
    if not values:
        yield Fault("field", "required", "Name a field to set.")
        return
    target = setting.view
    assert target is not None  # noqa: S101 - the type needs a record
    path = {name: f"fields.{name}" for name in payload.fields} | (
        {payload.field: "value"} if payload.field else {}
    )
    unknown = [name for name in values if name not in target.fields and name != "custom_fields"]
    for name in unknown:
        where = "field" if name == payload.field else f"fields.{name}"
        yield Fault(where, "unknown_field", "There is no such field.")
    known = {name: value for name, value in values.items() if name not in unknown}
    if not target.can("update"):
        yield Fault("", "forbidden", f"Whoever it runs as may not update {target.entity.noun_plural}.")
    else:
        yield from _value_faults(setting, target, known, "update", path)


def _update(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    values = _changes(payload)
    change_record(step.view, step.record, values, now=step.now)
    return {"record": str(step.record), "fields": sorted(values)}


def _preview_update(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    values = _changes(payload)
    step.view.require("update")
    step.view.read_input(values, partial=True, operation="update")
    step.view.get(step.record, verb="update")
    return {"record": str(step.record), "values": values}


# --- creating --------------------------------------------------------------------------------------------------


def _check_create(setting: Setting, payload: CreateRecord) -> Iterable[Fault]:
    entity = entities.find(payload.entity)
    if entity is None or entity.writes.create is None or not setting.actor.rights.can("read", payload.entity):
        yield Fault("entity", "not_a_choice", "Records of this kind cannot be created.")
        return
    target = view(entity, setting.actor)
    if not target.can("create"):
        yield Fault("entity", "forbidden", f"Whoever it runs as may not create {entity.noun_plural}.")
        return
    paths = {name: f"values.{name}" for name in payload.values}
    unknown = [name for name in payload.values if name not in target.fields and name != "custom_fields"]
    for name in unknown:
        yield Fault(f"values.{name}", "unknown_field", "There is no such field.")
    known = {name: value for name, value in payload.values.items() if name not in unknown}
    yield from _value_faults(setting, target, known, "create", paths, partial=False)


def _create(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    made = create_record(view(payload["entity"], step.actor), payload["values"], now=step.now)
    return {"id": str(made), "entity": payload["entity"]}


def _preview_create(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    target = view(payload["entity"], step.actor)
    target.require("create")
    target.read_input(payload["values"], partial=False)
    return {"entity": payload["entity"], "values": payload["values"]}


def _beside(setting: Setting, entity: str) -> Iterable[Fault]:
    if entity not in entities or not view(entity, setting.actor).can("create"):
        yield Fault("", "forbidden", f"Whoever it runs as may not create a {entity}.")
    elif setting.entity is not None and not entities[entity].relations_to(setting.entity.name):
        yield Fault("", "no_relation", f"A {entity} cannot belong to such a record.")


def _link(step: Step, entity: str) -> dict[str, Any]:
    """The field that makes a new record belong to the step's."""
    if step.record_id is None:
        return {}
    return {entities[entity].relations_to(step.entity_type)[0].name: str(step.record_id)}


def _check_task(setting: Setting, payload: CreateTask) -> Iterable[Fault]:
    yield from _beside(setting, "task")
    if payload.priority and "task" in entities and not templates.is_template(payload.priority):
        yield from _value_faults(
            setting,
            view("task", setting.actor),
            {"priority": payload.priority},
            "create",
            {"priority": "priority"},
        )


def _task(step: Step, payload: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {"subject": str(payload["subject"])[:255], **_link(step, "task")}
    for name in ("description", "priority"):
        if payload.get(name):
            values[name] = payload[name]
    if payload.get("due_in_days") is not None:
        today = step.now.astimezone(zone_of(step.actor)).date()
        values["due_date"] = (today + timedelta(days=int(payload["due_in_days"]))).isoformat()
    owner = payload.get("owner") or _owner_of(step)
    if owner:
        values["owner"] = owner
    return values


def _owner_of(step: Step) -> str | None:
    if step.record_id is None or step.entity.owner is None:
        return None
    name = step.entity.owner.name
    found = step.document(step.entity, step.record_id, [name]).get(name)
    return None if found is None else str(found)


def _create_task(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return _create(step, {"entity": "task", "values": _task(step, payload)})


def _preview_task(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return _preview_create(step, {"entity": "task", "values": _task(step, payload)})


def _note(step: Step, payload: Mapping[str, Any]) -> dict[str, Any]:
    title = {"title": str(payload["title"])[:255]} if payload.get("title") else {}
    return {"body": str(payload["body"]), **title, **_link(step, "note")}


def _add_note(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return _create(step, {"entity": "note", "values": _note(step, payload)})


def _preview_note(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return _preview_create(step, {"entity": "note", "values": _note(step, payload)})


# --- tags and owners -------------------------------------------------------------------------------------------


def _tags(payload: Mapping[str, Any]) -> list[str]:
    given = [*(payload.get("tags") or []), *([payload["tag"]] if payload.get("tag") else [])]
    return [str(tag) for tag in given]


def _check_tags(setting: Setting, payload: AddTag) -> Iterable[Fault]:
    if not _tags(payload.model_dump()):
        yield Fault("tags", "required", "Name a tag.")
    if setting.view is not None and "tags" not in setting.view.editable:
        yield Fault("", "not_editable", "These records take no tags.")


def _with_tags(step: Step, payload: Mapping[str, Any]) -> list[str]:
    held = step.document(step.entity, step.record, ["tags"]).get("tags") or []
    known = {tag.lower() for tag in held}
    return [*held, *(tag for tag in _tags(payload) if tag.lower() not in known)]


def _add_tags(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    tags = _with_tags(step, payload)
    change_record(step.view, step.record, {"tags": tags}, now=step.now)
    return {"record": str(step.record), "tags": tags}


def _preview_tags(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"record": str(step.record), "tags": _with_tags(step, payload)}


# --- declared actions ------------------------------------------------------------------------------------------


def _check_perform(setting: Setting, payload: Perform) -> Iterable[Fault]:
    assert setting.entity is not None  # noqa: S101 - the type needs a record
    assert setting.view is not None  # noqa: S101 - so there is a view of it
    action = ACTIONS.find(f"{setting.entity.name}.{payload.action}")
    if action is None:
        there_are = ", ".join(item.name for item in actions_of(setting.entity.name)) or "none"
        yield Fault("action", "not_a_choice", f"There is no such action. There are: {there_are}.")
        return
    if not declared.can_perform(setting.view, action):
        yield Fault("action", "forbidden", "Whoever it runs as may not perform this action.")
    taken = {field.name: field for field in action.input}
    for name, value in payload.input.items():
        if name not in taken:
            yield Fault(f"input.{name}", "unknown_field", "There is no such field.")
        if isinstance(value, Mapping) and set(value) == {EXPRESSION}:
            yield from setting.expression_faults(value[EXPRESSION], f"input.{name}")
    for name, field in taken.items():
        if field.required and name not in payload.input:
            yield Fault(f"input.{name}", "required", "This field is required.")


def _perform(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    document = {name: value for name, value in (payload.get("input") or {}).items() if value is not None}
    performed = perform(step.view, payload["action"], step.record, document, now=step.now)
    output = {
        name: None if value is None else str(value) if isinstance(value, UUID) else value
        for name, value in (performed.output or {}).items()
    }
    return {"record": str(performed.record_id), **output}


def _preview_perform(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    action = ACTIONS[f"{step.entity.name}.{payload['action']}"]
    declared.require_right(step.view, action)
    step.view.get(step.record, verb=action.verb)
    if action.dry_run is not None:
        perform(
            step.view,
            payload["action"],
            step.record,
            payload.get("input") or {},
            now=step.now,
            dry_run=True,
        )
    return {"record": str(step.record), "action": action.key, "input": payload.get("input") or {}}


def _names(payload: Mapping[str, Any]) -> str:
    return ", ".join(_changes(payload)) or "nothing"


_TYPES = (
    ActionType(
        name="update_field",
        label="Set fields",
        description="Sets one field of the record or several, to values, templates or the results of expressions.",
        payload=UpdateField,
        run=_update,
        summarize=lambda payload: f"Set {_names(payload)}",
        check=_check_update,
        preview=_preview_update,
        needs_record=True,
    ),
    ActionType(
        name="create_record",
        label="Create a record",
        description="Creates a record of any kind.",
        payload=CreateRecord,
        run=_create,
        summarize=lambda payload: f"Create a {str(payload.get('entity')).replace('_', ' ')}",
        check=_check_create,
        preview=_preview_create,
    ),
    ActionType(
        name="create_task",
        label="Create a task",
        description="Creates a task for somebody, with a day on which it is due.",
        payload=CreateTask,
        run=_create_task,
        summarize=lambda payload: f"Create the task {payload.get('subject')!r}",
        check=_check_task,
        preview=_preview_task,
    ),
    ActionType(
        name="add_note",
        label="Add a note",
        description="Writes a note beside the record.",
        payload=AddNote,
        run=_add_note,
        summarize=lambda payload: "Add a note",
        check=lambda setting, payload: _beside(setting, "note"),
        preview=_preview_note,
        needs_record=True,
    ),
    ActionType(
        name="add_tag",
        label="Add tags",
        description="Adds tags to those that the record has.",
        payload=AddTag,
        run=_add_tags,
        summarize=lambda payload: f"Add the tags {', '.join(_tags(payload))}",
        check=_check_tags,
        preview=_preview_tags,
        needs_record=True,
    ),
    ActionType(
        name="perform",
        label="Perform an action",
        description="Performs an action that is declared for the record, as a person would by its button.",
        payload=Perform,
        run=_perform,
        summarize=lambda payload: f"Perform {payload.get('action')}",
        check=_check_perform,
        preview=_preview_perform,
        needs_record=True,
    ),
)
for _type in _TYPES:
    ACTION_TYPES.register(_type.name, _type)
