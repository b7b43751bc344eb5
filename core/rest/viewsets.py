"""`EntityViewSet`: lists, records, writes and declared actions of one entity over HTTP.

Most entities need no viewset of their own: `viewset_of` makes theirs from the registry. A viewset of an app subclasses
`EntityViewSet` where its entity differs. Writes go through `core.access.writing`, actions through `core.access.actions`;
`?fields`, `?expand`, filters and paging are in `core.rest.listing`, a stale version is found by `core.changes.writes`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from core.access import EntityView, actions, view
from core.access.output import Output
from core.access.writing import write, write_one
from core.entities import Action, Entity, Nested, actions_of, entities
from core.kernel.errors import Conflict, Fault, Forbidden, Invalid, Stale, as_object
from core.rest import bulk
from core.rest.declarations import SHAPE_PARAMETERS, Operation, created_below, performing, standard
from core.rest.listing import Pairs, read_list_query, read_pairs, read_shape, render_page
from core.rest.views import ApiView

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


def read_if_match(request: Request) -> int | None:
    """The version that If-Match demands. Raises: Invalid for what is no ETag of ours."""
    header = request.META.get("HTTP_IF_MATCH")
    if header is None or header.strip() == "*":
        return None
    match = _ETAG.match(header.strip())
    if match is None:
        raise Invalid('If-Match takes the ETag you read, such as "3".', code="bad_if_match")
    return int(match[1])


class EntityViewSet(ViewSetMixin, ApiView):
    """Lists, reads and writes one entity through its view and its operations."""

    entity_name: ClassVar[str]
    # The actions declared for the entity, by the handler that performs them.
    declared_actions: ClassVar[Mapping[str, Action]] = {}
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
        action = cls.declared_actions.get(name)
        if action is not None:
            return performing(action)
        return super().declared(name) or standard(entities[cls.entity_name], name)

    @property
    def pairs(self) -> Pairs:
        return read_pairs(self.request.query_params)

    def check_right(self) -> None:
        action = self.declared_actions.get(self.action)
        if action is not None:
            actions.require_right(self.view, action)
            return
        verb = self.required_verb()
        if verb is None:
            raise Forbidden("No right has been declared for this.")
        self.view.require(verb)

    def required_verb(self) -> str | None:
        action = self.declared_actions.get(self.action)
        if action is not None:
            return action.verb
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
        return Response(render_page(query, base, pairs, self.records() if narrowed else None))

    def retrieve(self, request: Request, pk: str, **kwargs: Any) -> HttpResponse:
        record = self.view.get(pk, self.records().only("pk"))
        return self.answer_with(record.pk)

    # --- writing ------------------------------------------------------------------------------------------------

    def create(self, request: Request, **kwargs: Any) -> HttpResponse:
        return self._create(self.view.read_input(request.data, partial=False))

    def update(self, request: Request, pk: str, **kwargs: Any) -> HttpResponse:
        """PUT: the whole record; what is not sent and the caller may edit goes back to its default."""
        values = self.view.read_input(request.data, partial=False, operation="update")
        kept = self.entity.put_keeps | ({self.entity.owner.name} if self.entity.owner else set())
        return self._change(pk, values | self.view.defaults(values, kept))

    def partial_update(self, request: Request, pk: str, **kwargs: Any) -> HttpResponse:
        return self._change(pk, self.view.read_input(request.data, partial=True, operation="update"))

    def destroy(self, request: Request, pk: str, **kwargs: Any) -> HttpResponse:
        self._write_one("delete", pk)
        return Response(status=204)

    def restore(self, request: Request, pk: str, **kwargs: Any) -> HttpResponse:
        """Back from the recycle bin."""
        return self.answer_with(self._write_one("restore", pk))

    def by_external_id(self, request: Request, source: str, external_id: str, **kwargs: Any) -> HttpResponse:
        """PUT: create or update by the id another system knows the record by."""
        keys = {"external_source": source, "external_id": external_id}
        read_if_match(request)
        document = as_object(request.data)
        for name, value in keys.items():
            if document.get(name, value) != value:
                raise Invalid(
                    faults=[Fault(name, "differs_from_path", "The body names another external id.")]
                )
        # Nobody finds out about ids that they may not set.
        self.view.read_input(keys, partial=True, operation="update")
        with connection.cursor() as cursor:
            # Two requests for the same new external id take turns.
            lock = f"{self.actor.company_id}:{self.entity.name}:{source}:{external_id}"
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])
        manager: Any = self.entity.model._default_manager
        record = (
            manager.filter(**keys)
            .only("pk", *(["deleted_at"] if self.entity.is_soft_deleted else []))
            .first()
        )
        if record is None:
            self.view.require("create")
            values = self.view.read_input({**document, **keys}, partial=False)
            if "HTTP_IF_MATCH" in request.META:
                # What is wrong with the request itself comes first.
                self._shape()
                raise Stale("There is no record with this external id, so none that If-Match could fit.")
            return self._create(values)
        if self.entity.is_soft_deleted and record.deleted_at is not None:
            raise Conflict("The record with this external id is in the recycle bin.", code="in_recycle_bin")
        return self._change(
            str(record.pk), self.view.read_input({**document, **keys}, partial=True, operation="update")
        )

    def bulk(self, request: Request, **kwargs: Any) -> HttpResponse:
        return Response(bulk.answer(self.view, request.data, self.now))

    def perform(self, action: Action, pk: str) -> HttpResponse:
        """Perform a declared action on one record: the record as it is then, or the action's own output."""
        performed = actions.perform(
            self.view,
            action.name,
            pk,
            self.request.data,
            now=self.now,
            expected_version=read_if_match(self.request),
        )
        if performed.output is None:
            return self.answer_with(performed.record_id)
        return Response(performed.output)

    # --- shared steps -------------------------------------------------------------------------------------------

    def answer_with(self, record_id: UUID, *, status: int = 200) -> HttpResponse:
        """One record as the answer, with its ETag."""
        document, version = self._shape().record(record_id, ("version",))
        tag = etag_of(version)
        if self.request.method in ("GET", "HEAD") and self.request.META.get("HTTP_IF_NONE_MATCH") == tag:
            answer = Response(status=304)
        else:
            answer = Response(document, status=status)
        answer["ETag"] = tag
        if status == 201:
            answer["Location"] = self.request.build_absolute_uri(f"/api/v1/{self.entity.path}/{record_id}/")
        return answer

    def _shape(self) -> Output:
        return read_shape([pair for pair in self.pairs if pair[0] in SHAPE_PARAMETERS], self.view)

    def _create(self, values: dict[str, Any]) -> HttpResponse:
        return self.answer_with(write(self.view, "create", [values], now=self.now).one, status=201)

    def _change(self, pk: str, values: dict[str, Any]) -> HttpResponse:
        return self.answer_with(self._write_one("update", pk, values))

    def _write_one(self, verb: str, pk: str, values: Mapping[str, Any] | None = None) -> UUID:
        narrowed = type(self).records is not EntityViewSet.records
        return write_one(
            self.view,
            verb,
            pk,
            values,
            now=self.now,
            expected_version=read_if_match(self.request),
            among=self.records() if narrowed else None,
        )


class NestedViewSet(EntityViewSet):
    """The records of one parent, which the path names."""

    # The relation to the parent, and the entity it leads to.
    parent_field: ClassVar[str]
    parent_name: ClassVar[str]

    @classmethod
    def declared(cls, name: str) -> Operation | None:
        if name == "create":
            return created_below(entities[cls.entity_name], cls.parent_field, entities[cls.parent_name])
        return super().declared(name)

    @cached_property
    def parent_id(self) -> UUID:
        parents = view(self.parent_name, self.actor)
        parent_id: UUID = parents.get(self.kwargs["parent_pk"], parents.records().only("pk")).pk
        return parent_id

    def check_right(self) -> None:
        super().check_right()
        view(self.parent_name, self.actor).require("read")

    def records(self) -> QuerySet[Any]:
        return super().records().filter(**{self.parent_field: self.parent_id})

    def create(self, request: Request, **kwargs: Any) -> HttpResponse:
        document = request.data
        if isinstance(document, Mapping):
            parent = str(self.parent_id)
            if document.get(self.parent_field, parent) != parent:
                raise Invalid(
                    faults=[Fault(self.parent_field, "differs_from_path", "The path names another record.")]
                )
            document = {**document, self.parent_field: parent}
        return self._create(self.view.read_input(document, partial=False))


# --- made from the registry ----------------------------------------------------------------------------------------


def viewset_of(entity: Entity) -> type[EntityViewSet]:
    """The viewset of an entity whose app brings none."""
    return type(
        f"{entity.class_name}ViewSet",
        (EntityViewSet,),
        {"entity_name": entity.name, "__doc__": entity.description, "__module__": __name__},
    )


def nested_viewset_of(entity: Entity, nested: Nested) -> type[NestedViewSet]:
    """The viewset of an entity's list below one parent."""
    parent = entities[entity.target_of(nested.parent)]
    return type(
        f"{entity.class_name}Of{parent.class_name}ViewSet",
        (NestedViewSet,),
        {
            "entity_name": entity.name,
            "parent_field": nested.parent,
            "parent_name": parent.name,
            "__doc__": f"{entity.label_plural} of one {parent.noun}.",
            "__module__": __name__,
        },
    )


def with_actions(viewset: type[EntityViewSet]) -> type[EntityViewSet]:
    """The viewset with a handler for each declared action of its entity."""
    declared = {handler_name(action): action for action in actions_of(viewset.entity_name)}
    if not declared:
        return viewset
    handlers: dict[str, Any] = {name: _handler(name, action) for name, action in declared.items()}
    return type(
        viewset.__name__,
        (viewset,),
        {
            **handlers,
            "declared_actions": declared,
            "__doc__": viewset.__doc__,
            "__module__": viewset.__module__,
        },
    )


def handler_name(action: Action) -> str:
    return f"perform_{action.name}"


def _handler(name: str, action: Action) -> Callable[..., HttpResponse]:
    def handle(self: EntityViewSet, request: Request, pk: str, **kwargs: Any) -> HttpResponse:
        return self.perform(action, pk)

    handle.__name__, handle.__doc__ = name, action.description
    return handle
