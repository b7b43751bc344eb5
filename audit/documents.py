"""Entries of the log as the API answers them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from audit.models import AuditAlert, AuditLog, AuditReview
from audit.reading import LogReader
from audit.sensitivity import is_sensitive
from audit.states import Step, steps_of
from core.tenancy.actors import Actor

# Actions whose entries hold less than they mean: what a record was made with is read from its history.
_REBUILT = ("create",)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AuditLogDocument(_Part):
    """One entry: a change of a record, or a fact. Values are those that the caller may see; `user` is null for the system."""

    id: int
    at: datetime
    action: str
    action_description: str
    entity_type: str
    entity_id: UUID | None
    entity_name: str = Field(description="What the record is called, now or when it was logged.")
    changed_fields: list[str]
    old_values: dict[str, Any]
    new_values: dict[str, Any]
    user: UUID | None
    user_name: str
    impersonator: UUID | None
    api_client: UUID | None = Field(description="The API key that was used.")
    source: str
    ip: str | None
    user_agent: str
    session_id: UUID | None
    correlation_id: str
    transaction_id: int
    cause: int | None = Field(description="The entry that made this one happen.")
    is_sensitive: bool
    requires_review: bool
    reviewed_by: UUID | None
    reviewed_at: datetime | None
    review_note: str


class FieldChange(_Part):
    """One field before and after; null where there was nothing."""

    field: str
    label: str
    old: Any
    new: Any


class HistoryDocument(AuditLogDocument):
    """An entry of one record's history, with each field that changed."""

    changes: list[FieldChange]


def entry_documents(actor: Actor, entries: Sequence[AuditLog]) -> list[AuditLogDocument]:
    """The entries, which have their contexts, in at most seven statements."""
    reader = LogReader(actor)
    made = steps_of(_key(entry) for entry in entries if entry.action in _REBUILT and entry.entity_id)
    steps = {step.log_id: step for found in made.values() for step in found}
    return [
        AuditLogDocument(**_values(reader, entry, steps.get(entry.pk)), **said)
        for entry, said in zip(entries, _said_of(reader, entries), strict=True)
    ]


def history_documents(actor: Actor, entries: Sequence[AuditLog]) -> list[HistoryDocument]:
    """Entries of few records with what each changed, in at most seven statements."""
    reader = LogReader(actor)
    found = steps_of({_key(entry) for entry in entries if entry.entity_id})
    steps = {step.log_id: step for one in found.values() for step in one}
    documents = []
    for entry, said in zip(entries, _said_of(reader, entries), strict=True):
        step = steps.get(entry.pk)
        changes = _changes(reader, entry.entity_type, step) if step is not None else []
        documents.append(HistoryDocument(**_values(reader, entry, step), **said, changes=changes))
    return documents


def _key(entry: AuditLog) -> tuple[str, UUID]:
    assert entry.entity_id is not None  # noqa: S101 - the callers ask first
    return entry.entity_type, entry.entity_id


def _changes(reader: LogReader, kind: str, step: Step) -> list[FieldChange]:
    return [
        FieldChange(field=name, label=reader.label(kind, name), old=old, new=new)
        for name, (old, new) in reader.changes(kind, step.before, step.after).items()
    ]


def _values(reader: LogReader, entry: AuditLog, step: Step | None) -> dict[str, Any]:
    kind, action = entry.entity_type, entry.action
    new: Mapping[str, Any] | None = entry.new_values
    if step is not None and action in _REBUILT:
        new = {name: value for name, value in (step.after or {}).items() if value not in (None, "", [], {})}
    return {
        "changed_fields": reader.field_names(kind, entry.changed_fields),
        "old_values": reader.values(kind, entry.old_values, action=action),
        "new_values": reader.values(kind, new, action=action),
    }


def _said_of(reader: LogReader, entries: Sequence[AuditLog]) -> Iterable[dict[str, Any]]:
    """What is told of each entry beside its values."""
    contexts = [entry.context for entry in entries]
    people = {("user", item.actor_id) for item in contexts if item is not None and item.actor_id}
    records = {(entry.entity_type, entry.entity_id) for entry in entries if entry.entity_id}
    names = reader.names(people | records)
    demanded = set(
        AuditAlert.objects.filter(
            log_id__in=[entry.pk for entry in entries], requires_review=True
        ).values_list("log_id", flat=True)
    )
    reviews = {item.log_id: item for item in AuditReview.objects.filter(log_id__in=[e.pk for e in entries])}
    for entry, context in zip(entries, contexts, strict=True):
        review = reviews.get(entry.pk)
        user = context.actor_id if context is not None else None
        yield {
            "id": entry.pk,
            "at": entry.at,
            "action": entry.action,
            "action_description": entry.description or "",
            "entity_type": entry.entity_type,
            "entity_id": entry.entity_id,
            "entity_name": entry.entity_name or (names.get(_key(entry), "") if entry.entity_id else ""),
            "user": user,
            "user_name": names.get(("user", user), "") if user else "",
            "impersonator": context.impersonator_id if context else None,
            "api_client": context.api_key_id if context else None,
            "source": context.source if context else "",
            "ip": context.ip if context else None,
            "user_agent": context.user_agent if context else "",
            "session_id": context.session_id if context else None,
            "correlation_id": context.correlation_id if context else "",
            "transaction_id": entry.xid,
            "cause": context.cause if context else None,
            "is_sensitive": is_sensitive(entry),
            "requires_review": entry.requires_review or entry.pk in demanded,
            "reviewed_by": review.created_by_id if review else None,
            "reviewed_at": review.created_at if review else None,
            "review_note": review.note if review else "",
        }
