"""`/audit/logs/`: the explorer of the change log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, cast
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from pydantic import BaseModel, ConfigDict
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit import queries
from audit.documents import AuditLogDocument, HistoryDocument, entry_documents, history_documents
from audit.filters import AuditLogFilters
from audit.models import AuditLog
from audit.operations.reverts import revert_entry
from audit.operations.reviews import review_entry
from audit.reading import LogReader
from audit.rights import MANAGE_AUDIT, VIEW_AUDIT
from audit.views.parameters import PERIOD, TIME, read_id, read_period, read_time
from core.kernel.errors import Fault, Invalid, as_object
from core.rest.declarations import Operation
from core.rest.filtered_lists import FilteredListView
from core.rest.filters import TextFilter, UUIDFilter
from core.rest.schema import documented
from core.rest.serializers import StrictSerializer
from core.rest.views import ApiView

# Of one revert.
MAX_FIELDS = 200
DEFAULT_SUMMARY = timedelta(days=30)
_ENTRY = {
    "log_id": {
        "type": "integer",
        "minimum": 1,
        "maximum": 10**18 - 1,
        "description": "The number of an entry.",
    }
}
_RECORD = {
    "entity_type": {"type": "string", "minLength": 1, "maxLength": 64, "description": "The kind of record."},
    "entity_id": {"type": "string", "format": "uuid", "description": "The record."},
}


class LogsView(FilteredListView):
    """The change log, newest first: who did what, when and from where, and the values before and after."""

    verbs = {"get": VIEW_AUDIT}
    filterset_class = AuditLogFilters
    # Ids are given out in the order of time, and one index finds a company's newest.
    orderings = {"at": "id"}
    default_ordering = "-at"
    document: ClassVar[type[BaseModel]] = AuditLogDocument

    def rows(self) -> QuerySet[Any]:
        return queries.without_hidden(
            self.actor, queries.entries(self.actor), self.request.query_params.get("field")
        )

    def documents(self, rows: Sequence[AuditLog]) -> list[AuditLogDocument]:
        return entry_documents(self.actor, rows)


class LogView(ApiView):
    """One entry of the change log."""

    verbs = {"get": VIEW_AUDIT}

    @documented(response=HistoryDocument, path=_ENTRY)
    def get(self, request: Request, log_id: str) -> Response:
        [document] = history_documents(self.actor, [queries.get_entry(self.actor, log_id)])
        return Response(document.model_dump(mode="json"))


class HistoryFilters(AuditLogFilters):
    entity_type = TextFilter(label="The kind of record, such as deal.", required=True)
    entity_id = UUIDFilter(label="The record.", required=True)


class HistoryView(LogsView):
    """The whole history of one record, newest first, with each field that changed."""

    filterset_class = HistoryFilters
    document: ClassVar[type[BaseModel]] = HistoryDocument

    @classmethod
    def declared(cls, name: str) -> Operation | None:
        found = super().declared(name)
        return None if found is None else replace(found, required_query=("entity_type", "entity_id"))

    def documents(self, rows: Sequence[AuditLog]) -> list[AuditLogDocument]:
        return cast("list[AuditLogDocument]", history_documents(self.actor, rows))


class PastRecordDocument(BaseModel):
    """A record as it stood; `changed_at` and `changed_by_entry` say which change had made it so."""

    model_config = ConfigDict(extra="forbid")

    entity_type: str
    entity_id: UUID
    at: datetime
    exists: bool
    is_deleted: bool
    values: dict[str, Any]
    changed_at: datetime | None
    changed_by_entry: int | None


class AsOfView(ApiView):
    """A record as it stood at a time, by the fields the caller may see."""

    verbs = {"get": VIEW_AUDIT}

    @documented(
        response=PastRecordDocument,
        query={**_RECORD, "at": {**TIME, "description": "When."}},
        required_query=("entity_type", "entity_id", "at"),
        errors=(404, 410),
    )
    def get(self, request: Request) -> Response:
        faults: list[Fault] = []
        given = request.query_params
        kind = given.get("entity_type", "")
        if not kind:
            faults.append(Fault("entity_type", "required", "This is required."))
        entity_id = read_id(given, "entity_id", faults)
        at = read_time(given, "at", self.actor.zone, faults)
        if at is None and not any(fault.path == "at" for fault in faults):
            faults.append(Fault("at", "required", "This is required."))
        if faults or entity_id is None or at is None:
            raise Invalid(faults=faults)
        found = queries.record_as_of(self.actor, kind, entity_id, at)
        step = found.last_change
        document = PastRecordDocument(
            entity_type=kind,
            entity_id=entity_id,
            at=at,
            exists=found.exists,
            is_deleted=found.is_deleted,
            values=found.values,
            changed_at=step.at if step else None,
            changed_by_entry=step.log_id if step else None,
        )
        return Response(document.model_dump(mode="json"))


class ReviewInput(StrictSerializer):
    note = serializers.CharField(max_length=2_000, required=False, allow_blank=True, default="")


_REVERT_INPUT = {
    "type": "object",
    "properties": {
        "fields": {
            "type": "array",
            "items": {"type": "string", "maxLength": 128},
            "minItems": 1,
            "maxItems": MAX_FIELDS,
            "description": "Of those that the entry changed; all without it.",
        }
    },
    "additionalProperties": False,
}


class ReviewView(ApiView):
    """Reviews of one entry."""

    verbs = {"post": MANAGE_AUDIT}

    @documented(request=ReviewInput, response=AuditLogDocument, optional_body=True, path=_ENTRY)
    def post(self, request: Request, log_id: str) -> Response:
        """Note that you have looked at an entry; the first review stands."""
        body = ReviewInput.read(request.data)
        review_entry(actor=self.actor, log_id=log_id, note=body["note"], now=self.now)
        [document] = entry_documents(self.actor, [queries.get_entry(self.actor, log_id)])
        return Response(document.model_dump(mode="json"))


class RevertedRecord(BaseModel):
    """The record whose change was undone. The entry of the new change has the undone one as its `cause`."""

    model_config = ConfigDict(extra="forbid")

    entity_type: str
    entity_id: UUID


class RevertView(ApiView):
    """Undoing one change."""

    verbs = {"post": VIEW_AUDIT}

    @documented(
        request=_REVERT_INPUT, response=RevertedRecord, optional_body=True, errors=(423,), path=_ENTRY
    )
    def post(self, request: Request, log_id: str) -> Response:
        """Write the old values of a change back, as a new change; later changes of the same fields stand in the way."""
        fields = _fields(request.data)
        record_id = revert_entry(actor=self.actor, log_id=log_id, now=self.now, fields=fields)
        entry = queries.get_entry(self.actor, log_id)
        document = RevertedRecord(entity_type=entry.entity_type, entity_id=record_id)
        return Response(document.model_dump(mode="json"))


def _fields(body: Any) -> list[str] | None:
    document = as_object(body)
    faults = [
        Fault(str(name), "unknown_field", "There is no such field.") for name in document if name != "fields"
    ]
    given = document.get("fields")
    is_list = isinstance(given, list) and 0 < len(given) <= MAX_FIELDS
    if given is not None and not (is_list and all(isinstance(item, str) for item in given)):
        faults.append(Fault("fields", "not_a_list", "A list of names of fields is expected."))
    if faults:
        raise Invalid(faults=faults)
    return given


class Counted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    value: str
    label: str
    count: int


class Bucket(BaseModel):
    model_config = ConfigDict(extra="forbid")

    at: datetime
    count: int


class SummaryDocument(BaseModel):
    """Counts of entries. Of users, kinds, actions and sources, the 50 most frequent; a user of "" is the system."""

    model_config = ConfigDict(extra="forbid")

    since: datetime
    until: datetime
    bucket: str
    total: int
    by_time: list[Bucket]
    by_user: list[Counted]
    by_entity: list[Counted]
    by_action: list[Counted]
    by_source: list[Counted]


class SummaryView(ApiView):
    """How much happened: counts by time, user, kind of record, action and source; by default of the last 30 days."""

    verbs = {"get": VIEW_AUDIT}

    @documented(
        response=SummaryDocument,
        query={**PERIOD, "bucket": {"type": "string", "enum": list(queries.BUCKETS), "default": "day"}},
        summary="Count what happened",
    )
    def get(self, request: Request) -> Response:
        faults: list[Fault] = []
        bucket = request.query_params.get("bucket", "day")
        if bucket not in queries.BUCKETS:
            faults.append(Fault("bucket", "not_a_choice", f"There are: {', '.join(queries.BUCKETS)}."))
        since, until = read_period(
            request.query_params, self.actor.zone, DEFAULT_SUMMARY, timezone.now(), faults
        )
        if faults:
            raise Invalid(faults=faults)
        found = queries.summarize(self.actor, since, until, bucket)
        reader = LogReader(self.actor)
        names = reader.names(("user", user) for user, _ in found.users if user is not None)
        document = SummaryDocument(
            since=since,
            until=until,
            bucket=bucket,
            total=found.total,
            by_time=[Bucket(at=at, count=count) for at, count in found.buckets],
            by_user=[
                Counted(
                    value=str(user or ""),
                    label=names.get(("user", user), "Somebody who has left") if user else "The system",
                    count=count,
                )
                for user, count in found.users
            ],
            by_entity=[
                Counted(value=kind, label=_words(kind), count=count) for kind, count in found.entities
            ],
            by_action=[Counted(value=word, label=_words(word), count=count) for word, count in found.actions],
            by_source=[Counted(value=word, label=_words(word), count=count) for word, count in found.sources],
        )
        return Response(document.model_dump(mode="json"))


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
