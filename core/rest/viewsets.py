"""`EntityViewSet`: all of contract 00 for one entity. A subclass says which, and adds actions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.viewsets import ViewSetMixin

from core.access import EntityView, view
from core.access.output import Document, Output
from core.changes import Outcome
from core.changes.rows import EXPECTED_VERSION
from core.entities import Entity, Field, entities
from core.entities.kinds import Kind
from core.kernel.errors import Conflict, Fault, Forbidden, Invalid, as_object
from core.kernel.ids import uuid7
from core.rest import bulk, idempotency
from core.rest.declarations import SHAPE_PARAMETERS, Operation, standard
from core.rest.listing import Pairs, read_list_query, read_shape, render_page
from core.rest.views import ApiView

JSON = "application/json"
_ETAG = re.compile(r'^(?:W/)?"([0-9]{1,10})"$')
VERBS: Mapping[str, str] = {
    "list": "read",
    "retrieve": "read",
    "create": "create",
    "update": "update",
    "partial_update": "update",
    "destroy": "delete",
    "restore": "delete",
    "by_external_id": "update",
    # Each row of a bulk request asks for its own right.
    "bulk": "read",
}


def etag_of(version: int) -> str:
    return f'"{version}"'


def read_if_match(request: Request, version: int | None = None) -> int | None:
    """The version that If-Match demands, or else the body's `version`. Raises: Invalid when they differ."""
    header = request.META.get("HTTP_IF_MATCH")
    if header is None or header.strip() == "*":
        return version
    match = _ETAG.match(header.strip())
    if match is None:
        raise Invalid('If-Match takes the ETag you read, such as "3".', code="bad_if_match")
    demanded = int(match[1])
    if version is not None and version != demanded:
        raise Invalid("If-Match and the body's version differ.", code="bad_if_match")
    return demanded


class EntityViewSet(ViewSetMixin, ApiView):
    """Lists, reads and writes one entity through its view and its operations."""

    entity_name: ClassVar[str]
    # Right by action, beside the usual ones: name -> verb on this entity.
    action_verbs: ClassVar[Mapping[str, str]] = {}
    lookup_field = "pk"
    lookup_value_regex = "[^/]+"

    @cached_property
    def entity(self) -> Entity:
        return entities[self.entity_name]

    @cached_property
    def view(self) -> EntityView:
        return view(self.entity, self.actor)

    @classmethod
    def declared(cls, name: str) -> Operation | None:
        return super().declared(name) or standard(entities[cls.entity_name], name)

    @property
    def pairs(self) -> Pairs:
        return [(name, value) for name, values in self.request.query_params.lists() for value in values]

    def check_right(self) -> None:
        verb = self.required_verb()
        if verb is None:
            raise Forbidden("No right has been declared for this.")
        self.view.require(verb)

    def required_verb(self) -> str | None:
        return self.action_verbs.get(self.action) or VERBS.get(self.action)

    def records(self) -> QuerySet[Any]:
        """The records this endpoint is about; a nested endpoint narrows them."""
        return self.view.records()

    # --- reading ------------------------------------------------------------------------------------------------

    def list(self, request: Request, **kwargs: Any) -> HttpResponse:
        pairs = self.pairs
        query = read_list_query(pairs, self.view, self.now)
        base = request.build_absolute_uri(request.path)
        narrowed = type(self).records is not EntityViewSet.records
        page = render_page(query, base, pairs, self.records() if narrowed else None)
        return HttpResponse(page.body, content_type=JSON)

    def retrieve(self, request: Request, pk: str, **kwargs: Any) -> HttpResponse:
        record = self.view.get(pk, self.records().only("pk"))
        return self.answer_with(record.pk)

    # --- writing ------------------------------------------------------------------------------------------------

    def create(self, request: Request, **kwargs: Any) -> HttpResponse:
        values = self.view.read_input(request.data, partial=False)
        return self._create(values)

    def update(self, request: Request, pk: str, **kwargs: Any) -> HttpResponse:
        """PUT: the whole record; what is not sent goes back to its default."""
        values = self.view.read_input(request.data, partial=False, operation="update")
        defaults = {
            name: _blank(field)
            for name, field in self.view.fields.items()
            if not field.read_only and name not in values and name not in self.put_keeps
        }
        return self._change(pk, defaults | values)

    # Fields that a PUT leaves alone when they are not sent.
    put_keeps: ClassVar[frozenset[str]] = frozenset({"owner"})

    def partial_update(self, request: Request, pk: str, **kwargs: Any) -> HttpResponse:
        return self._change(pk, self.view.read_input(request.data, partial=True, operation="update"))

    def destroy(self, request: Request, pk: str, **kwargs: Any) -> HttpResponse:
        record = self.view.get(pk, self.records().only("pk"))
        self._run("delete", [self._expecting({"id": record.pk})]).raise_if_refused()
        return HttpResponse(status=204)

    def restore(self, request: Request, pk: str, **kwargs: Any) -> HttpResponse:
        """Back from the recycle bin."""
        record = self.view.get(pk, self.view.bin().only("pk"))
        self._run("restore", [self._expecting({"id": record.pk})]).raise_if_refused()
        return self.answer_with(record.pk)

    def by_external_id(self, request: Request, source: str, external_id: str, **kwargs: Any) -> HttpResponse:
        """PUT: create or update by the id another system knows the record by."""
        keys = {"external_source": source, "external_id": external_id}
        document = as_object(request.data)
        for name, value in keys.items():
            if document.get(name, value) != value:
                raise Invalid(
                    faults=[Fault(name, "differs_from_path", "The body names another external id.")]
                )
        with connection.cursor() as cursor:
            # Two requests for the same new external id take turns.
            lock = f"{self.actor.company_id}:{self.entity.name}:{source}:{external_id}"
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])
        manager: Any = self.entity.model._default_manager
        known = (
            manager.filter(**keys)
            .only("pk", *(["deleted_at"] if self.entity.is_soft_deleted else []))
            .first()
        )
        if known is None:
            self.view.require("create")
            values = self.view.read_input({**document, **keys}, partial=False)
            return self._create(values)
        if self.entity.is_soft_deleted and known.deleted_at is not None:
            raise Conflict("The record with this external id is in the recycle bin.", code="in_recycle_bin")
        return self._change(
            str(known.pk), self.view.read_input({**document, **keys}, partial=True, operation="update")
        )

    def bulk(self, request: Request, **kwargs: Any) -> HttpResponse:
        return bulk.answer(self.view, request.data, self.now)

    # --- shared steps -------------------------------------------------------------------------------------------

    def answer_with(self, record_id: UUID, *, status: int = 200) -> HttpResponse:
        """One record as the answer, with its ETag."""
        read = self._shape().record(record_id, ("version",), last=self._may_end)
        return self._shown(record_id, read, status)

    def _shown(self, record_id: UUID, read: Document, status: int) -> HttpResponse:
        document, version = read
        tag = etag_of(version)
        if self.request.method in ("GET", "HEAD") and self.request.META.get("HTTP_IF_NONE_MATCH") == tag:
            answer = HttpResponse(status=304)
        else:
            answer = HttpResponse(orjson.dumps(document), status=status, content_type=JSON)
        answer["ETag"] = tag
        if status == 201:
            answer["Location"] = self.request.build_absolute_uri(f"/api/v1/{self.entity.path}/{record_id}/")
        return answer

    def _shape(self) -> Output:
        return read_shape([pair for pair in self.pairs if pair[0] in SHAPE_PARAMETERS], self.view)

    @property
    def _may_end(self) -> bool:
        """Whether the transaction ends with what the answer reads: one that is kept for its key is written after that."""
        return idempotency.META_NAME not in self.request.META

    def _create(self, values: dict[str, Any]) -> HttpResponse:
        record_id = uuid7()
        with self._shape().reading(record_id, ("version",), last=self._may_end) as read:
            made = self._run("create", [{**values, "id": record_id}]).one
            if made == record_id:
                return self._shown(record_id, read(), 201)
        # Somebody whom another company knows already has an id.
        return self.answer_with(made, status=201)

    def _change(self, pk: str, values: dict[str, Any]) -> HttpResponse:
        record = self.view.get(pk, self.records().only("pk"))
        self._run("update", [self._expecting({**values, "id": record.pk})]).raise_if_refused()
        return self.answer_with(record.pk)

    def _expecting(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with the version that If-Match demands."""
        version = read_if_match(self.request, row.get(EXPECTED_VERSION))
        return row if version is None else {**row, EXPECTED_VERSION: version}

    def _run(self, operation: str, rows: Sequence[dict[str, Any]]) -> Outcome:
        return bulk.run(self.view, operation, rows, self.now)


def _blank(field: Field) -> Any:
    if field.default is not None:
        return field.default
    if field.nullable:
        return None
    if field.kind is Kind.TAGS:
        return []
    if field.kind is Kind.JSON:
        return {}
    return "" if field.type.is_text else None
