"""Where a request goes next: which step applies to the record, who approves there, until when, and what it is bound to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core.access import view
from core.access.related import load, tree_of
from core.entities import entities
from core.identity.models import Membership
from core.kernel.errors import NotFound, Unprocessable
from core.tenancy.actors import system_actor
from workflow.approvals.engine.votes import Rule
from workflow.approvals.schemas import ApprovalStepDocument, ApproverDocument, ProcessDocument
from workflow.definitions import compile_for


@dataclass(frozen=True)
class Subject:
    """The record that is asked about, and who asks."""

    company_id: UUID
    entity_type: str
    record_id: UUID
    submitted_by: UUID


@dataclass(frozen=True)
class Resolved:
    """An approver, and what named them."""

    person: UUID
    resolved_from: str
    weight: int = 1


@dataclass(frozen=True)
class Opening:
    """A step that is to be decided now, with the steps before it that were skipped."""

    skipped: tuple[ApprovalStepDocument, ...]
    # None: no further step applies.
    step: ApprovalStepDocument | None
    approvers: tuple[Resolved, ...] = ()
    # Nobody was found for the step: its approvers are those of this level of the chain.
    level: int = 0
    due_at: datetime | None = None


def open_after(subject: Subject, process: ProcessDocument, after: int, *, now: datetime) -> Opening:
    """The first step with a number above `after` that applies. Needs the company in context.

    Raises: Unprocessable (`no_approver`, `impossible_quorum`), NotFound where the record is gone.
    """
    skipped = []
    for step in sorted(process.steps, key=lambda item: item.step):
        if step.step <= after:
            continue
        if not holds(subject, step.condition, now=now):
            skipped.append(step)
            continue
        return _opening(subject, process, step, tuple(skipped), now)
    return Opening(tuple(skipped), None)


def open_step(subject: Subject, process: ProcessDocument, number: int, *, now: datetime) -> Opening:
    """This very step again. Raises: as `open_after`."""
    return _opening(subject, process, process.number(number), (), now)


def _opening(
    subject: Subject,
    process: ProcessDocument,
    step: ApprovalStepDocument,
    skipped: tuple[ApprovalStepDocument, ...],
    now: datetime,
) -> Opening:
    found = resolve(subject, step.approvers, allow_self=process.allow_self_approval)
    rule, level = step.rule(require_all=process.require_all_approvers), 0
    if not found:
        level, found = next_level(subject, process, 0)
        rule = Rule("any")
    if not found:
        raise Unprocessable(
            f"Nobody can approve step {step.step}: its approvers are no active members, or only the submitter is left.",
            code="no_approver",
        )
    if not rule.is_possible([item.weight for item in found]):
        raise Unprocessable(
            f"Step {step.step} wants more approvals than its {len(found)} approvers can give.",
            code="impossible_quorum",
        )
    return Opening(skipped, step, tuple(found), level, due(process, step, now))


def due(process: ProcessDocument, step: ApprovalStepDocument, now: datetime) -> datetime | None:
    """Until when a step that opens now is to be decided. Hours are those of the clock."""
    hours = step.sla_hours or process.escalation_after_hours
    return now + timedelta(hours=hours) if process.enable_escalation and hours else None


def next_level(subject: Subject, process: ProcessDocument, level: int) -> tuple[int, list[Resolved]]:
    """The first level of the escalation chain above `level` with somebody on it; nobody at its end."""
    for place, approver in enumerate(process.escalation_chain[level:], level + 1):
        found = resolve(subject, [approver], allow_self=process.allow_self_approval)
        if found:
            return place, found
    return len(process.escalation_chain), []


def holds(subject: Subject, condition: dict[str, Any] | None, *, now: datetime) -> bool:
    """Whether the record meets the condition now."""
    if not condition:
        return True
    company = system_actor(subject.company_id)
    entity = entities[subject.entity_type]
    compiled = compile_for(company, entity, condition, old_values=False, in_memory=False)
    records = view(entity, company).records().filter(pk=subject.record_id)
    return bool(records.filter(compiled.to_q(now=now)).exists())


# --- approvers -------------------------------------------------------------------------------------------------


def resolve(
    subject: Subject, approvers: Sequence[str | ApproverDocument], *, allow_self: bool
) -> list[Resolved]:
    """The active members that the approvers stand for, each once, in the order in which they are named."""
    named = [item for approver in approvers for item in _people(subject, approver)]
    active = set(
        Membership.objects.filter(
            user_id__in={item.person for item in named}, is_active=True, user__is_active=True
        ).values_list("user_id", flat=True)
    )
    found: dict[UUID, Resolved] = {}
    for item in named:
        if item.person in active and (allow_self or item.person != subject.submitted_by):
            found.setdefault(item.person, item)
    return list(found.values())


def _people(subject: Subject, approver: str | ApproverDocument) -> Iterator[Resolved]:
    if isinstance(approver, str):
        for person in Membership.objects.filter(user__email__iexact=approver).values_list(
            "user_id", flat=True
        ):
            yield Resolved(person, approver[:200])
        return
    weight = approver.weight
    if approver.kind == "user" and approver.user is not None:
        yield Resolved(approver.user, "user", weight)
    elif approver.kind == "role":
        people = Membership.objects.filter(role__name=approver.role).order_by("created_at", "id")
        for person in people.values_list("user_id", flat=True):
            yield Resolved(person, f"role: {approver.role}", weight)
    elif approver.kind == "manager":
        found = _manager(subject.submitted_by, approver.levels)
        if found is not None:
            yield Resolved(found, f"manager, level {approver.levels}", weight)
    else:
        owner = entities[subject.entity_type].owner
        field = approver.field or ("" if owner is None else owner.name)
        value = values_of(subject, [field]).get(field) if field else None
        if value:
            yield Resolved(UUID(str(value)), f"record: {field}", weight)


def _manager(person: UUID, levels: int) -> UUID | None:
    """The manager so many levels above; None where there is none, or where the chain is a circle."""
    member = Membership.objects.filter(user_id=person).first()
    seen: set[UUID] = set()
    for _ in range(levels):
        if member is None or member.manager_id is None or member.manager_id in seen:
            return None
        seen.add(member.manager_id)
        member = Membership.objects.filter(pk=member.manager_id).first()
    return None if member is None else member.user_id


# --- what an approval is bound to ------------------------------------------------------------------------------


def values_of(subject: Subject, fields: Iterable[str]) -> dict[str, Any]:
    """These fields of the record, as they are now. Raises: NotFound."""
    names = list(fields)
    source = view(subject.entity_type, system_actor(subject.company_id))
    found = load(source, [subject.record_id], tree_of(names or ["id"])).get(subject.record_id)
    if found is None:
        raise NotFound()
    return {name: found.get(name) for name in names}


def digest_of(values: dict[str, Any]) -> str:
    """SHA-256 of values, in hexadecimal."""
    text = json.dumps(values, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
