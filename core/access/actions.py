"""Performing declared actions: the right, the visible record, the input, then the action's operation.

The API, the back office, workflows and plugins perform actions through it. It needs a transaction and never ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from core.access.view import EntityView
from core.access.view import view as view_of
from core.access.visibility import sees_everything
from core.access.writing import agreed_version
from core.entities import Field, entities
from core.entities.actions import ACTIONS, Action, argument, parameter_of
from core.entities.kinds import BadValue, Kind, read_value
from core.kernel.errors import Fault, Forbidden, Invalid, NotFound, as_object

EXPECTED_VERSION = "expected_version"
DRY_RUN = "dry_run"


@dataclass(frozen=True, slots=True)
class Performed:
    """What came of an action: the record it was performed on, and the declared output, if it has one."""

    record_id: UUID
    output: Mapping[str, Any] | None = None


def can_perform(view: EntityView, action: Action) -> bool:
    """Whether the actor has the right: that of the action's verb, or the permission word of this action alone."""
    return view.can(action.verb) or action.word in view.actor.rights.permissions


def require_right(view: EntityView, action: Action) -> None:
    """Raises: Forbidden."""
    if not can_perform(view, action):
        raise Forbidden(f"Your role may not {action.verb} {view.entity.noun_plural}.")


def perform(
    view: EntityView,
    name: str,
    record_id: UUID | str,
    document: Any,
    *,
    now: datetime,
    dry_run: bool = False,
    expected_version: int | None = None,
) -> Performed:
    """Perform the action `name` of the view's entity on one record, with a client's document as its input.

    `expected_version` is the version demanded beside the document, which may itself name one. `dry_run`, here or in the
    document, answers the same without writing. Raises: Forbidden, NotFound (also for an action that the entity does not
    have), Invalid with every fault, Stale, and what the operation refuses.
    """
    action = ACTIONS.find(f"{view.entity.name}.{name}")
    if action is None:
        raise NotFound()
    require_right(view, action)
    key: UUID = view.get(record_id, view.records().only("pk"), verb=action.verb).pk
    values = _read(view, action, document)
    expected = agreed_version(expected_version, values.pop(EXPECTED_VERSION, None))
    run = action.run
    if values.pop(DRY_RUN, False) or dry_run:
        if action.dry_run is None:
            raise NotImplementedError(f"{action.key} has no dry run")
        run = action.dry_run
    given = {parameter_of(field): values[field.name] for field in action.input if field.name in values}
    made = run(actor=view.actor, **{f"{action.entity}_id": key}, now=now, expected_version=expected, **given)
    if not action.output:
        return Performed(key)
    return Performed(key, {field.name: getattr(made, parameter_of(field)) for field in action.output})


def body_fields(action: Action) -> tuple[Field, ...]:
    """Everything that the action's document may hold: its input, `dry_run` where it has one, `expected_version`."""
    return (*action.input, *((_DRY_RUN,) if action.dry_run is not None else ()), _EXPECTED_VERSION)


_DRY_RUN = argument(
    DRY_RUN, Kind.BOOLEAN, default=False, description="Answer what would come of it; write nothing."
)
_EXPECTED_VERSION = argument(
    EXPECTED_VERSION, Kind.INTEGER, minimum=1, description="The version that was read, as If-Match."
)


def _read(view: EntityView, action: Action, document: Any) -> dict[str, Any]:
    """The document as field name → value. Raises: Invalid with every fault."""
    document = as_object(document)
    fields = {field.name: field for field in body_fields(action)}
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, sent in document.items():
        if name not in fields:
            faults.append(Fault(str(name), "unknown_field", "There is no such field."))
            continue
        try:
            values[name] = read_value(fields[name], sent)
        except BadValue as bad:
            faults.append(Fault(name, bad.code, bad.detail))
    faults += [
        Fault(name, "required", "This field is required.")
        for name, field in fields.items()
        if field.required and name not in document
    ]
    if not faults:
        faults = _unseen_references(view, action, values)
    if faults:
        raise Invalid(faults=faults)
    return values


def _unseen_references(view: EntityView, action: Action, values: Mapping[str, Any]) -> list[Fault]:
    """Relations to records that the actor does not see. That they exist at all is checked where they are written."""
    found = []
    for field in action.input:
        key = values.get(field.name)
        if not field.is_relation or key is None or sees_everything(entities[field.to], view.actor):
            continue
        if not view_of(field.to, view.actor).records().filter(pk=key).exists():
            found.append(Fault(field.name, "does_not_exist", "There is no such record."))
    return found
