"""Processes are judged when they are written. A request keeps its own copy, so a change touches none that is under way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models.functions import Lower

from core.access import EntityView, view
from core.changes import Outcome, Rows, WriteSpec, erase, insert, update
from core.changes.gates import gates_changed
from core.entities import Entity, entities
from core.identity.models import Membership, Role
from core.kernel.errors import DomainError, Fault, refused_input
from core.tenancy import context
from core.tenancy.actors import Actor
from workflow.approvals.models import ApprovalProcess, ProcessType
from workflow.approvals.schemas import (
    MAX_APPROVERS,
    MAX_STEPS,
    ApprovalStepDocument,
    ApproverDocument,
    ProcessDocument,
)
from workflow.definitions import compile_for
from workflow.schemas import read_part, read_parts

MAX_LOCKED = 50
MAX_LEVELS = 10

_SPEC = WriteSpec(ApprovalProcess)
_REMOVAL = WriteSpec(ApprovalProcess)


class _Approvers(ApprovalStepDocument):
    """The chain has the approvers of a step."""

    step: int = 1


def can_be_approved(entity: Entity) -> bool:
    """Whether records of this kind can be submitted: those that somebody owns."""
    return any(item.meaning == "owner" for item in entity.facts)


def document_of(process: ApprovalProcess) -> ProcessDocument:
    """What a request keeps of the process."""
    return ProcessDocument.model_validate(
        {name: getattr(process, name) for name in ProcessDocument.model_fields}
    )


def check_process(values: Mapping[str, Any]) -> None:
    """Judge one row that is created or changed, with the actor in context.

    Raises: Invalid with every fault of the document; Forbidden where a field is masked for the actor.
    """
    actor = context.current().actor
    assert actor is not None  # noqa: S101 - writes have an actor
    stored = (
        ApprovalProcess.objects.select_for_update(no_key=True, of=("self",)).filter(pk=values["id"]).first()
        if values.get("id") is not None
        else None
    )

    def value(name: str) -> Any:
        if name in values:
            return values[name]
        return getattr(stored or ApprovalProcess(), name)

    faults: list[Fault] = []
    entity = entities.find(value("entity_type") or "")
    if entity is None or not can_be_approved(entity):
        faults.append(Fault("entity_type", "not_a_choice", "Records of this kind cannot be submitted."))
        raise refused_input(faults=faults)
    faults += _steps(actor, entity, value("steps"), value("process_type"), value("require_all_approvers"))
    chain = value("escalation_chain")
    faults += _chain(actor, entity, chain)
    if value("enable_escalation") and not value("escalation_after_hours"):
        faults.append(Fault("escalation_after_hours", "required", "Say after how many hours."))
    faults += _locked(actor, entity, value("locked_fields"))
    if value("entry_condition"):
        faults += _condition(actor, entity, value("entry_condition"), "entry_condition")
    if faults:
        raise refused_input(faults=faults)


def _steps(actor: Actor, entity: Entity, documents: Any, process_type: str, require_all: bool) -> list[Fault]:
    faults: list[Fault] = []
    steps = [
        item for item in read_parts(ApprovalStepDocument, documents, "steps", faults) if item is not None
    ]
    if faults:
        return faults
    if not steps:
        return [Fault("steps", "required", "A process has a step.")]
    if len(steps) > MAX_STEPS:
        return [Fault("steps", "too_many", f"At most {MAX_STEPS} steps are allowed.")]
    if process_type == ProcessType.SINGLE and len(steps) > 1:
        faults.append(Fault("steps", "too_many", "A process of one step has one step."))
    seen: set[int] = set()
    for place, step in enumerate(steps):
        path = f"steps.{place}"
        if step.step in seen:
            faults.append(Fault(f"{path}.step", "not_unique", "Another step has this number."))
        seen.add(step.step)
        if process_type == ProcessType.PARALLEL and step.type != "parallel":
            faults.append(Fault(f"{path}.type", "not_a_choice", "Steps of a parallel process are parallel."))
        faults += _approvers(view(entity, actor), step.approvers, f"{path}.approvers")
        if step.condition:
            faults += _condition(actor, entity, step.condition, f"{path}.condition")
        if _names_people(step.approvers):
            weights = [1 if isinstance(item, str) else item.weight for item in step.approvers]
            if not step.rule(require_all=require_all).is_possible(weights):
                detail = "The step wants more approvals than its approvers can give."
                faults.append(Fault(f"{path}.require", "impossible_quorum", detail))
    return faults


def _names_people(approvers: Sequence[str | ApproverDocument]) -> bool:
    """Whether it is known how many people they are."""
    return bool(approvers) and all(isinstance(item, str) or item.kind != "role" for item in approvers)


def _chain(actor: Actor, entity: Entity, documents: Any) -> list[Fault]:
    faults: list[Fault] = []
    if not isinstance(documents, list):
        return [Fault("escalation_chain", "not_a_list", "A list of approvers is expected.")]
    if not documents:
        return []
    if len(documents) > MAX_LEVELS:
        return [Fault("escalation_chain", "too_many", f"At most {MAX_LEVELS} levels are allowed.")]
    found: list[Fault] = []
    step = read_part(_Approvers, {"approvers": documents}, "", found)
    faults += [
        Fault(f"escalation_chain{item.path.removeprefix('approvers')}", item.code, item.detail)
        for item in found
    ]
    return faults if step is None else _approvers(view(entity, actor), step.approvers, "escalation_chain")


def _approvers(source: EntityView, approvers: Sequence[str | ApproverDocument], path: str) -> list[Fault]:
    if not approvers:
        return [Fault(path, "required", f"Name 1 to {MAX_APPROVERS} approvers.")]
    people = [item for item in approvers if not isinstance(item, str)]
    known = _known_emails({item.lower() for item in approvers if isinstance(item, str)})
    members = _known_members({item.user for item in people if item.user})
    roles = _known_roles({item.role for item in people if item.role})
    faults = []
    for place, item in enumerate(approvers):
        where = f"{path}.{place}"
        if isinstance(item, str):
            if item.lower() not in known:
                faults.append(Fault(where, "does_not_exist", "There is no active member with this address."))
        elif item.kind == "user" and item.user not in members:
            faults.append(Fault(f"{where}.user", "does_not_exist", "There is no such active member."))
        elif item.kind == "role" and item.role not in roles:
            faults.append(Fault(f"{where}.role", "does_not_exist", "There is no such role."))
        elif item.kind == "field" and not _holds_person(source, item.field):
            faults.append(Fault(f"{where}.field", "unknown_field", "This is no field that holds a person."))
    return faults


def _known_emails(emails: set[str]) -> set[str]:
    """Those that active members have, in small letters."""
    if not emails:
        return set()
    rows = Membership.objects.filter(is_active=True).annotate(email=Lower("user__email"))
    return set(rows.filter(email__in=emails).values_list("email", flat=True))


def _known_members(ids: set[UUID]) -> set[UUID]:
    if not ids:
        return set()
    return set(Membership.objects.filter(is_active=True, user_id__in=ids).values_list("user_id", flat=True))


def _known_roles(names: set[str]) -> set[str]:
    return set(Role.objects.filter(name__in=names).values_list("name", flat=True)) if names else set()


def _holds_person(source: EntityView, name: str) -> bool:
    field = source.fields.get(name)
    return field is not None and field.to == "user"


def _condition(actor: Actor, entity: Entity, document: Any, path: str) -> list[Fault]:
    try:
        compile_for(actor, entity, document, old_values=False, in_memory=False)
    except DomainError as refusal:
        return [fault.below(path) for fault in refusal.faults] or [Fault(path, refusal.code, refusal.detail)]
    return []


def _locked(actor: Actor, entity: Entity, names: Any) -> list[Fault]:
    if not isinstance(names, list) or len(names) > MAX_LOCKED:
        return [Fault("locked_fields", "not_a_list", f"A list of at most {MAX_LOCKED} fields is expected.")]
    source, faults = view(entity, actor), []
    for place, name in enumerate(names):
        where = f"locked_fields.{place}"
        if not isinstance(name, str) or name not in source.editable:
            faults.append(Fault(where, "unknown_field", "There is no such field that can be written."))
            continue
        try:
            compile_for(
                actor, entity, {"field": name, "operator": "changed"}, old_values=True, in_memory=False
            )
        except DomainError as refusal:
            faults.append(Fault(where, "cannot_be_locked", refusal.detail))
    return faults


def create_processes(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Keep processes. Needs a transaction. `check_process` has judged their content."""
    outcome = insert(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)
    gates_changed(actor.company_id)
    return outcome


def update_processes(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change processes; requests under way keep theirs. Needs a transaction."""
    outcome = update(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)
    gates_changed(actor.company_id)
    return outcome


def delete_processes(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Remove processes that no request has gone through. Needs a transaction."""
    outcome = erase(_REMOVAL, rows, actor=actor, now=now, all_or_none=all_or_none)
    gates_changed(actor.company_id)
    return outcome
