"""Which triggers a batch of changes starts: conditions compiled once, records read once for each kind and person.

The consumer, the back-test and the answer to "why did it not run?" all decide here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from core.access import view
from core.access.related import add_details, load, tree_of
from core.changes.events import Change
from core.conditions import Condition, Explanation, NotLoaded
from core.entities import entities
from core.identity.queries import find_actor
from core.kernel.errors import DomainError
from core.tenancy.actors import Actor, system_actor
from workflow.definitions import compile_for
from workflow.event_types import event_document
from workflow.models import Workflow, WorkflowStatus, WorkflowTrigger
from workflow.records import AsOf

# Why a trigger does not start on a change that bears its event.
RUN_AS_GONE, NOT_VISIBLE, NOT_COMPILED, NOT_MET = (
    "run_as_gone",
    "not_visible",
    "condition_refused",
    "condition_not_met",
)


@dataclass(frozen=True)
class Armed:
    """A trigger with its workflow, ready to be asked."""

    trigger: WorkflowTrigger
    workflow: Workflow
    actor: Actor | None

    @cached_property
    def compiled(self) -> Condition | DomainError | None:
        """None where there are no conditions."""
        if not self.trigger.conditions or self.actor is None:
            return None
        try:
            return compile_for(
                self.actor,
                entities[self.workflow.entity_type],
                self.trigger.conditions,
                old_values=self.trigger.kind == WorkflowTrigger.Kind.EVENT,
            )
        except DomainError as refusal:
            return refusal


@dataclass(frozen=True)
class Verdict:
    """Whether a trigger starts on a change; `reason` is empty where it does."""

    armed: Armed
    change: Change
    reason: str = ""
    explanation: Explanation | None = None


class People:
    """Actors of the people in whose names workflows run; each is read once."""

    def __init__(self, company_id: UUID) -> None:
        self.company_id = company_id
        self._known: dict[UUID | None, Actor | None] = {None: system_actor(company_id)}

    def actor(self, user_id: UUID | None) -> Actor | None:
        """None for who is no active member any more."""
        if user_id is not None and user_id not in self._known:
            self._known[user_id] = find_actor(user_id, self.company_id)
        return self._known[user_id]


def armed_triggers(company_id: UUID, *, events: Iterable[str] | None = None) -> list[Armed]:
    """The company's triggers that start on events: current, active, of active workflows; the most urgent first.

    One statement, and one for each person that they run as.
    """
    rows = WorkflowTrigger.objects.filter(
        is_current=True,
        kind=WorkflowTrigger.Kind.EVENT,
        is_active=True,
        workflow__status=WorkflowStatus.ACTIVE,
        workflow__is_active=True,
    )
    if events is not None:
        rows = rows.filter(event_type__in=list(events))
    return arm(company_id, rows)


def arm(company_id: UUID, triggers: Any) -> list[Armed]:
    """These triggers with their workflows, in the order in which they start."""
    people = People(company_id)
    rows = triggers.select_related("workflow").order_by(
        "-priority", "workflow__created_at", "workflow_id", "position"
    )
    return [Armed(row, row.workflow, people.actor(row.workflow.run_as_id)) for row in rows]


def judge(changes: Sequence[Change], armed: Sequence[Armed], *, explain: bool = False) -> list[Verdict]:
    """A verdict for each trigger and change that bears its event, in the order of the changes, then of the triggers.

    Records count as they were right after the change, seen with the rights of whoever the workflow runs as. Needs the
    company in context.
    """
    by_event: dict[str, list[Armed]] = defaultdict(list)
    for item in armed:
        by_event[item.trigger.event_type].append(item)
    rank = {id(item): place for place, item in enumerate(armed)}
    pairs = [
        (item, change)
        for change in changes
        for item in sorted(
            (item for event in change.events for item in by_event.get(event, ())),
            key=lambda item: rank[id(item)],
        )
    ]
    verdicts: dict[int, Verdict] = {}
    asked: dict[tuple[str, UUID | None], list[int]] = defaultdict(list)
    for place, (item, change) in enumerate(pairs):
        if item.actor is None:
            verdicts[place] = Verdict(item, change, RUN_AS_GONE)
        elif isinstance(item.compiled, DomainError):
            verdicts[place] = Verdict(item, change, NOT_COMPILED)
        elif change.entity_id is None or change.entity_type not in entities:
            verdicts[place] = Verdict(item, change, "" if item.compiled is None else NOT_VISIBLE)
        else:
            asked[change.entity_type, item.workflow.run_as_id].append(place)
    for (entity_type, _), places in asked.items():
        _ask(entity_type, [(place, *pairs[place]) for place in places], verdicts, explain)
    return [verdicts[place] for place in range(len(pairs))]


def _ask(
    entity_type: str,
    asked: Sequence[tuple[int, Armed, Change]],
    verdicts: dict[int, Verdict],
    explain: bool,
) -> None:
    """Verdicts on changes of one kind of record for triggers that run as one person."""
    actor = asked[0][1].actor
    assert actor is not None  # noqa: S101 - the caller asked
    records = view(entity_type, actor)
    conditions = {id(item): item.compiled for _, item, _ in asked}
    paths = {
        path.removeprefix("old.")
        for condition in conditions.values()
        if isinstance(condition, Condition)
        for path in condition.fields
        if not path.removeprefix("old.").startswith("event.")
    }
    tree = tree_of(paths)
    since: dict[UUID, int] = {}
    for _, _, change in asked:
        assert change.entity_id is not None  # noqa: S101 - the caller asked
        since[change.entity_id] = min(change.log_id, since.get(change.entity_id, change.log_id))
    present = load(records, since, tree, binned=True)
    as_of = AsOf(entity_type, since) if paths else None
    then: dict[tuple[UUID, int], dict[str, Any]] = {}
    for _, _, change in asked:
        key = change.entity_id
        if key in present and key is not None and (key, change.log_id) not in then:
            document = present[key]
            then[key, change.log_id] = (
                dict(document) if as_of is None else as_of.document(key, document, change.log_id)
            )
    add_details(records, then.values(), tree)
    for place, item, change in asked:
        document_then = then.get((change.entity_id, change.log_id)) if change.entity_id else None
        if document_then is None:
            verdicts[place] = Verdict(item, change, NOT_VISIBLE)
            continue
        condition = conditions[id(item)]
        if not isinstance(condition, Condition):
            verdicts[place] = Verdict(item, change)
            continue
        event = event_document(change, item.trigger.event_type)
        record = {**document_then, "event": event["type"], "event_detail": event}
        old = None if change.action == "create" else change.old
        # Relative dates mean the day of the event.
        outcome = _outcome(condition, record, old, change, explain)
        verdicts[place] = Verdict(item, change, *outcome)


def _outcome(
    condition: Condition,
    record: Mapping[str, Any],
    old: Mapping[str, Any] | None,
    change: Change,
    explain: bool,
) -> tuple[str, Explanation | None]:
    try:
        if explain:
            explanation = condition.explain(record, old, now=change.at)
            return ("" if explanation.holds else NOT_MET), explanation
        return ("" if condition.matches(record, old, now=change.at) else NOT_MET), None
    except NotLoaded:
        # A field that was taken from the person since.
        return NOT_COMPILED, None
