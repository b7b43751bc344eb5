"""Giving records to people: to one, to several in turn, or to the one with the fewest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count
from pydantic import Field

from core.access.writing import change_record
from core.identity.models import Membership
from core.kernel.errors import Fault, Unprocessable
from workflow import templates
from workflow.definitions import Setting, compile_for
from workflow.models import WorkflowAction
from workflow.registries import ACTION_TYPES, ActionType
from workflow.schemas import Part
from workflow.steps import Step

MAX_PEOPLE = 200


class AssignOwner(Part):
    """Gives the record an owner: a person, the next one of several, or the one of several with the fewest records."""

    user: str = Field("", max_length=200)
    round_robin: list[UUID] = Field(default_factory=list, max_length=MAX_PEOPLE)
    least_load: list[UUID] = Field(default_factory=list, max_length=MAX_PEOPLE)
    load_conditions: dict[str, Any] | None = Field(None, description="Which records count as load.")


def _check_owner(setting: Setting, payload: AssignOwner) -> Iterable[Fault]:
    ways = [name for name in ("user", "round_robin", "least_load") if getattr(payload, name)]
    if len(ways) != 1:
        yield Fault("", "one_of", "Name a user, or people for round_robin or least_load.")
        return
    target = setting.view
    owner = None if target is None else target.entity.owner
    if target is None or owner is None or owner.name not in target.editable:
        yield Fault("", "not_editable", "These records have no owner to set.")
        return
    people = [*payload.round_robin, *payload.least_load]
    if payload.user and not templates.is_template(payload.user):
        try:
            people.append(UUID(payload.user))
        except ValueError:
            yield Fault("user", "not_an_id", "An id (UUID) or a template is expected.")
    known = set(
        Membership.objects.filter(user_id__in=people, is_active=True).values_list("user_id", flat=True)
    )
    for place, person in enumerate(people):
        if person not in known:
            where = ways[0] if ways[0] == "user" else f"{ways[0]}.{place}"
            yield Fault(where, "does_not_exist", "There is no such active member.")
    if payload.load_conditions:
        yield from setting.condition_faults(payload.load_conditions, "load_conditions")


def _active(people: Iterable[Any]) -> list[UUID]:
    """Those who are members still, in the order given. Raises: Unprocessable when nobody is."""
    wanted = [UUID(str(person)) for person in people]
    known = set(
        Membership.objects.filter(user_id__in=wanted, is_active=True).values_list("user_id", flat=True)
    )
    found = [person for person in wanted if person in known]
    if not found:
        raise Unprocessable("Nobody is left who could own it.", code="nobody_left")
    return found


def _least_loaded(step: Step, payload: Mapping[str, Any]) -> UUID:
    people = _active(payload["least_load"])
    owner = step.entity.owner
    assert owner is not None  # noqa: S101 - checked when it was saved
    records = step.view.records().filter(**{f"{owner.column}__in": people})
    if payload.get("load_conditions"):
        condition = compile_for(
            step.actor, step.entity, payload["load_conditions"], old_values=False, in_memory=False
        )
        records = records.filter(condition.to_q(now=step.now))
    counted = records.order_by().values_list(owner.column).annotate(count=Count("pk"))
    load = dict(counted)
    return min(people, key=lambda person: (load.get(person, 0), people.index(person)))


def _next_in_turn(step: Step, payload: Mapping[str, Any], *, take: bool) -> UUID:
    people = _active(payload["round_robin"])
    if step.action_id is None or not take:
        turn = WorkflowAction.objects.filter(pk=step.action_id).values_list("turn", flat=True).first() or 0
        return people[turn % len(people)]
    with connection.cursor() as cursor:
        # The row is locked until the commit, so that two runs do not take the same turn.
        cursor.execute(
            "UPDATE workflow_workflowaction SET turn = turn + 1 WHERE id = %s RETURNING turn - 1",
            [step.action_id],
        )
        [turn] = cursor.fetchone()
    return people[turn % len(people)]


def _new_owner(step: Step, payload: Mapping[str, Any], *, take: bool) -> str:
    if payload.get("round_robin"):
        return str(_next_in_turn(step, payload, take=take))
    if payload.get("least_load"):
        return str(_least_loaded(step, payload))
    return str(payload.get("user") or "")


def _assign(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    person = _new_owner(step, payload, take=True)
    assert step.entity.owner is not None  # noqa: S101 - checked when it was saved
    change_record(step.view, step.record, {step.entity.owner.name: person}, now=step.now)
    return {"record": str(step.record), "owner": person}


def _preview_assign(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"record": str(step.record), "owner": _new_owner(step, payload, take=False)}


ACTION_TYPES.register(
    "assign_owner",
    ActionType(
        name="assign_owner",
        label="Assign an owner",
        description="Gives the record to a person, to several in turn, or to the one with the fewest records.",
        payload=AssignOwner,
        run=_assign,
        summarize=lambda payload: (
            "Assign an owner"
            + (" in turn" if payload.get("round_robin") else " by load" if payload.get("least_load") else "")
        ),
        check=_check_owner,
        preview=_preview_assign,
        needs_record=True,
        verbatim=frozenset({"load_conditions"}),
    ),
)
