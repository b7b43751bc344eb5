"""Workflows from Python: start what an event of the caller's own starts, ask a condition, do one action.

Each binds the company and opens a transaction, unless one is open already. `company` and `user` may be models or ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from core.access import view
from core.access.related import add_details, load, tree_of
from core.conditions import NotLoaded
from core.entities import entities
from core.identity.queries import find_actor
from core.kernel.errors import DomainError, Fault, Forbidden, Invalid
from core.kernel.ids import uuid7
from core.kernel.transactions import unit_of_work
from core.tenancy.actors import Actor, system_actor
from core.tenancy.context import actor_context
from workflow.definitions import Setting, compile_for
from workflow.event_types import find_event_type
from workflow.matching import Armed, armed_triggers
from workflow.models import WorkflowRun
from workflow.operations import NewRun, engine_is_on, start_runs
from workflow.operations.execution import SOURCE
from workflow.registries import ACTION_TYPES, ActionType
from workflow.schemas import read_part
from workflow.steps import Step

_ID_NAMES = ("id", "entity_id", "record_id")


def _key(given: Any) -> UUID:
    found = getattr(given, "pk", given)
    return found if isinstance(found, UUID) else UUID(str(found))


@contextmanager
def _acting(company: Any, user: Any) -> Iterator[Actor]:
    """Raises: Forbidden for who is no active member."""
    company_id = _key(company)
    actor = system_actor(company_id) if user is None else find_actor(_key(user), company_id)
    if actor is None:
        raise Forbidden("This person is no active member of the company.", code="not_a_member")
    with actor_context(actor, source=SOURCE), unit_of_work():
        yield actor


class WorkflowExecutionService:
    """Starting workflows by name of an event."""

    @staticmethod
    def trigger_workflow(
        event_type: str, event_data: Mapping[str, Any] | None, company: Any, user: Any = None
    ) -> list[WorkflowRun]:
        """Start every active workflow of the company that starts on `event_type`, as if it had happened now.

        `event_data` names the record (`id`) and may hold values that conditions are asked of in place of the record's own,
        what they were before (`old`), and an `event_id`: one trigger takes each of these once. The runs are carried out by
        the workers after the commit. Raises: Invalid for an unknown event, Forbidden.
        """
        data = dict(event_data or {})
        event = find_event_type(event_type)
        if event is None:
            raise Invalid(faults=[Fault("event_type", "not_a_choice", "There is no such event.")])
        now = timezone.now()
        with _acting(company, user) as actor:
            if not engine_is_on(actor.company_id):
                return []
            event_id = str(data.pop("event_id", None) or uuid7())
            given = next((data[name] for name in _ID_NAMES if data.get(name)), None)
            record_id = None if given is None else _key(given)
            old = data.pop("old", None)
            document = {
                "type": event.name,
                "source": SOURCE,
                "at": now.isoformat(),
                "actor": None if actor.user_id is None else str(actor.user_id),
                "depth": actor.depth,
                "old": old or {},
            }
            runs = [
                NewRun(
                    workflow_id=armed.workflow.pk,
                    version_id=armed.trigger.of_version_id,
                    event_key=f"{armed.trigger.key}:call:{event_id}",
                    trigger_id=armed.trigger.pk,
                    event_type=event.name,
                    event=document,
                    entity_type=armed.workflow.entity_type,
                    record_id=record_id,
                    depth=actor.depth + 1,
                    chain=event_id,
                )
                for armed in armed_triggers(actor.company_id, events=[event.name])
                if _meets(armed, record_id, data, old, document, now)
            ]
            made = start_runs(actor.company_id, runs, now=now)
            return list(WorkflowRun.objects.filter(pk__in=made.values()).order_by("created_at", "pk"))


def _meets(
    armed: Armed,
    record_id: UUID | None,
    values: Mapping[str, Any],
    old: Mapping[str, Any] | None,
    event: Mapping[str, Any],
    now: datetime,
) -> bool:
    condition = armed.compiled
    if armed.actor is None or isinstance(condition, DomainError):
        return False
    document: dict[str, Any] = dict(values)
    if record_id is not None:
        records = view(armed.workflow.entity_type, armed.actor)
        tree = tree_of(
            path.removeprefix("old.")
            for path in (condition.fields if condition else ())
            if not path.removeprefix("old.").startswith("event.")
        )
        found = load(records, [record_id], tree, binned=True).get(record_id)
        if found is None:
            return False
        document = {**found, **{name: value for name, value in values.items() if name in found}}
        add_details(records, [document], tree)
    if condition is None:
        return True
    try:
        asked = {**document, "event": event["type"], "event_detail": event}
        return condition.matches(asked, old, now=now)
    except NotLoaded:
        return False


class WorkflowConditionEvaluator:
    """Conditions of one kind of record, asked of values."""

    def __init__(self, entity_type: str, company: Any, user: Any = None) -> None:
        self.entity_type = entity_type
        self.company = company
        self.user = user

    def evaluate(
        self,
        conditions: Mapping[str, Any] | None,
        data: Mapping[str, Any],
        old: Mapping[str, Any] | None = None,
    ) -> bool:
        """Whether a record with these values meets the conditions; `old` are those from before a change.

        Raises: Invalid with every fault of the conditions, Forbidden; core.conditions.NotLoaded for a value that is missing.
        """
        if not conditions:
            return True
        with _acting(self.company, self.user) as actor:
            condition = compile_for(actor, entities[self.entity_type], conditions, old_values=True)
            return condition.matches(data, old, now=timezone.now())


class WorkflowActionExecutor:
    """Doing single actions of workflows."""

    def __init__(self, company: Any, user: Any = None) -> None:
        self.company = company
        self.user = user

    def execute(
        self,
        action_type: str,
        payload: Mapping[str, Any],
        *,
        entity_type: str = "",
        record_id: Any = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Do one action on a record with the person's rights; what came of it.

        What leaves the database is called while the transaction is open: use a workflow for what may be slow.
        Raises: Invalid with every fault of the payload, and what the action refuses.
        """
        faults: list[Fault] = []
        kind = ACTION_TYPES.find(action_type)
        if not isinstance(kind, ActionType):
            raise Invalid(faults=[Fault("action_type", "not_a_choice", "There is no such action.")])
        with _acting(self.company, self.user) as actor:
            read = read_part(kind.payload, dict(payload), "payload", faults)
            entity = entities.find(entity_type) if entity_type else None
            setting = Setting(actor, entity)
            if read is not None:
                faults += setting.template_faults(dict(payload), "payload")
                faults += [fault.below("payload") for fault in kind.check(setting, read)]
            if faults:
                raise Invalid(faults=faults)
            step = Step(
                actor=actor,
                now=timezone.now(),
                key=str(uuid7()),
                workflow_id=uuid7(),
                workflow_name="",
                run_id=None,
                action_id=None,
                entity_type=entity_type,
                record_id=None if record_id is None else _key(record_id),
                event={"type": "manual"},
            )
            filled = step.fill(payload, kind)
            if dry_run:
                return dict(filled if kind.preview is None else kind.preview(step, filled))
            return dict(kind.run(step, filled))
