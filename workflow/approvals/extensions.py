"""What approvals plug into registries: an action of workflows, notifications, and the lock on records that wait."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from core.access import view
from core.changes.gates import GATES, Gate, GateRule, Write
from core.changes.refusals import REFUSALS
from core.conditions import RowCondition, compile_condition, row_condition
from core.delivery.kinds import NotificationKind, register_notification_kind
from core.entities import entities
from core.kernel.errors import DomainError, Locked
from core.tenancy.actors import system_actor
from workflow.approvals import action_types
from workflow.approvals.models import ApprovalProcess
from workflow.approvals.operations.processes import can_be_approved
from workflow.approvals.operations.requests import ASKED, DECIDED
from workflow.approvals.queries import pending_locks

__all__ = ["action_types"]

LOCKED = "locked_by_approval"

_PENDING = (
    "EXISTS (SELECT FROM workflow_approvalrequest r WHERE r.company_id = %(company)s"
    " AND r.record_id = n.id AND r.status = 'pending' AND {})"
)


def _constant(value: str, now: datetime) -> str:
    return value


def _rules(write: Write) -> Sequence[GateRule]:
    fields = {
        str(name)
        for names in ApprovalProcess.objects.filter(entity_type=write.entity).values_list(
            "locked_fields", flat=True
        )
        for name in names
    } | pending_locks(write.entity)
    if not fields:
        return ()
    if write.verb == "delete":
        when = RowCondition(_PENDING.format("cardinality(r.locked_fields) > 0"))
        return (GateRule(LOCKED, "", "The record waits for an approval.", when),)
    if write.verb != "update":
        return ()
    source = view(write.entity, system_actor(write.company_id))
    rules = []
    for name in sorted(fields):
        try:
            changed = compile_condition({"field": name, "operator": "changed"}, source, old_values=True)
        except DomainError:
            # A field of the company's own that is no more: there is nothing to lock.
            continue
        condition = row_condition(changed, source.entity)
        when = RowCondition(
            f"({condition.sql}) AND {_PENDING.format('%s::text = ANY(r.locked_fields)')}",
            (*condition.values, partial(_constant, name)),
        )
        rules.append(GateRule(LOCKED, name, "The field is locked while an approval of it is pending.", when))
    return rules


GATES.register(
    "approvals",
    Gate("approvals", _rules, frozenset(entity.name for entity in entities if can_be_approved(entity))),
)
REFUSALS.register(LOCKED, Locked)

ASKED_KIND = register_notification_kind(
    NotificationKind(
        name=ASKED,
        label="Approvals asked of you",
        description="Somebody waits for your approval.",
    )
)
DECIDED_KIND = register_notification_kind(
    NotificationKind(
        name=DECIDED,
        label="Outcomes of your requests",
        description="A request of yours was decided, sent back or has expired.",
    )
)
