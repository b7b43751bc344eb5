"""Does the isolation matrix bite? Twelve leaks, each put in for a moment, with row-level security off where it would save
us; each must be seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from celery import current_app
from django.core import signing
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpResponse
from django.test import override_settings
from rest_framework.response import Response

from core.access import EntityView
from core.access.output import Output
from core.changes import constraints, statements
from core.entities import entities
from core.kernel.errors import Conflict, Fault, Invalid
from core.rest import bulk, listing, viewsets
from core.rest.viewsets import EntityViewSet
from tests.conformance.calls import control
from tests.conformance.isolation import faults_of
from tests.conformance.operations import operations
from tests.conformance.rooms import Rooms
from tests.conformance.test_inventory import TestBackgroundWork


def everybody_s(entity: str) -> QuerySet[Any]:
    """The rows of all companies: what a forgotten scope gives."""
    return QuerySet(entities[entity].model)


def unscoped_queryset(patch: pytest.MonkeyPatch, rooms: Rooms) -> None:
    def retrieve(self: EntityViewSet, request: Any, pk: str, **_: Any) -> HttpResponse:
        found = self.view.get(pk, everybody_s(self.entity.name))
        return HttpResponse(self.view.output().texts(everybody_s(self.entity.name).filter(pk=found.pk))[0])

    patch.setattr(EntityViewSet, "retrieve", retrieve)


def unscoped_relation_field(patch: pytest.MonkeyPatch, rooms: Rooms) -> None:
    patch.setattr(constraints, "_references", lambda model, changing: iter(()))


def unscoped_relation_path(patch: pytest.MonkeyPatch, rooms: Rooms) -> None:
    def listed(self: EntityViewSet, request: Any, **kwargs: Any) -> HttpResponse:
        paths = {name.replace(".", "__"): value for name, value in self.pairs if "." in name}
        if not paths:
            return plain(self, request, **kwargs)
        found = self.view.output().texts(everybody_s(self.entity.name).filter(**paths))
        return HttpResponse(f'{{"results": [{",".join(found)}]}}', content_type="application/json")

    plain = EntityViewSet.list
    patch.setattr(EntityViewSet, "list", listed)


def unscoped_count(patch: pytest.MonkeyPatch, rooms: Rooms) -> None:
    def render(query: listing.ListQuery, *args: Any) -> listing.Page:
        count = everybody_s(query.view.entity.name).filter(query.filters).count()
        return {**plain(query, *args), "count": count}

    plain = listing.render_page
    patch.setattr(viewsets, "render_page", render)


def error_with_a_foreign_value(patch: pytest.MonkeyPatch, rooms: Rooms) -> None:
    def read(self: EntityView, document: Any, **options: Any) -> dict[str, Any]:
        values = plain(self, document, **options)
        other = (
            everybody_s("account")
            .filter(pk=values.get("account"))
            .exclude(company=self.actor.company_id)
            .first()
        )
        if other is not None:
            raise Invalid(faults=[Fault("account", "does_not_exist", f"{other.name} is not yours.")])
        return values

    plain = EntityView.read_input
    patch.setattr(EntityView, "read_input", read)


def cache_key_without_company(patch: pytest.MonkeyPatch, rooms: Rooms) -> None:
    cache: dict[str, Any] = {}

    def retrieve(self: EntityViewSet, request: Any, pk: str, **kwargs: Any) -> Response:
        if pk not in cache:
            cache[pk] = plain(self, request, pk, **kwargs).data
        return Response(cache[pk])

    plain = EntityViewSet.retrieve
    patch.setattr(EntityViewSet, "retrieve", retrieve)
    read = next(item for item in operations() if item.name == "GET /leads/{pk}/")
    assert rooms.send(control(read, rooms.globex), client=rooms.client("admin", "globex")).ok


def header_with_a_foreign_value(patch: pytest.MonkeyPatch, rooms: Rooms) -> None:
    def headers(self: EntityViewSet, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer = plain(self, request, response, *args, **kwargs)
        try:
            found = everybody_s(self.entity.name).filter(pk=UUID(self.kwargs.get("pk", ""))).first()
        except ValueError:
            found = None
        answer["X-Record"] = str(found or "none")
        return answer

    plain = EntityViewSet.finalize_response
    patch.setattr(EntityViewSet, "finalize_response", headers)


def bulk_update_by_raw_id(patch: pytest.MonkeyPatch, rooms: Rooms) -> None:
    def write(view: EntityView, op: str, chosen: list[Any], *args: Any) -> None:
        if op == "update":
            with connection.cursor() as cursor:
                for item in chosen:
                    cursor.execute(
                        f"UPDATE {view.entity.table} SET version = 99 WHERE id = %s", [item.record_id]
                    )
        else:
            plain(view, op, chosen, *args)

    plain = bulk._write
    patch.setattr(bulk, "_refuse_unseen", lambda view, items: None)
    patch.setattr(bulk, "_write", write)


def upsert_by_unscoped_external_id(patch: pytest.MonkeyPatch, rooms: Rooms) -> None:
    def upsert(
        self: EntityViewSet, request: Any, source: str, external_id: str, **kwargs: Any
    ) -> HttpResponse:
        if everybody_s(self.entity.name).filter(external_source=source, external_id=external_id).exists():
            raise Conflict("There is one already.")
        return plain(self, request, source, external_id, **kwargs)

    plain = EntityViewSet.by_external_id
    patch.setattr(EntityViewSet, "by_external_id", upsert)


def unscoped_expand(patch: pytest.MonkeyPatch, rooms: Rooms) -> None:
    def documents(self: Output, queryset: QuerySet[Any], extra: Any = ()) -> list[tuple[Any, ...]]:
        if self.expand:
            queryset = everybody_s(self.view.entity.name).filter(
                pk=rooms.globex.record(self.view.entity.name)
            )
        return plain(self, queryset, extra)

    plain = Output.documents
    patch.setattr(Output, "documents", documents)


def cursor_of_any_company(patch: pytest.MonkeyPatch, rooms: Rooms) -> None:
    patch.setattr(
        listing, "_signer", lambda view, ordering: signing.Signer(salt=f"cursor:{view.entity.name}")
    )


Seed = Callable[[pytest.MonkeyPatch, Rooms], None]
# The leak, where it is looked for and in which slot.
LEAKS: list[tuple[Seed, str, str]] = [
    (unscoped_queryset, "GET /leads/{pk}/", "path pk"),
    (unscoped_relation_field, "POST /deals/", "body account"),
    (unscoped_relation_path, "GET /contacts/", "filter account.name"),
    (unscoped_count, "GET /leads/", "filter id"),
    (error_with_a_foreign_value, "POST /contacts/", "body account"),
    (cache_key_without_company, "GET /leads/{pk}/", "path pk"),
    (header_with_a_foreign_value, "GET /leads/{pk}/", "path pk"),
    (bulk_update_by_raw_id, "POST /leads/bulk/", "operations.1.id"),
    (upsert_by_unscoped_external_id, "PUT /leads/by-external-id/{source}/{external_id}/", "path source and"),
    (unscoped_expand, "GET /leads/", "filter id with expand"),
    (cursor_of_any_company, "GET /leads/", "cursor"),
]


def _forget_compiled_sql() -> None:
    for compiled in (statements.insert_sql, statements.update_sql):
        compiled.cache_clear()


class TestSeededLeaks:
    @pytest.mark.parametrize(
        ("seed", "name", "slot"), LEAKS, ids=lambda part: getattr(part, "__name__", None)
    )
    def test_are_seen(
        self, seed: Seed, name: str, slot: str, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        operation = next(item for item in operations() if item.name == name)
        with override_settings(TENANCY_LOCKS=frozenset({"scope"})):
            assert faults_of(operation, rooms, only=slot) == []
            _forget_compiled_sql()
            with monkeypatch.context() as patch:
                seed(patch, rooms)
                found = faults_of(operation, rooms, only=slot)
            _forget_compiled_sql()

        assert found, f"{seed.__name__} goes unseen"

    def test_of_a_task_that_enters_no_company_is_seen(self) -> None:
        def leak(record_id: str) -> None:
            everybody_s("lead").get(pk=record_id)

        leaking = current_app.task(name="leaking")(leak)
        try:
            with pytest.raises(AssertionError, match="leaking"):
                TestBackgroundWork().test_declares_whose_it_is()
        finally:
            current_app.tasks.pop(leaking.name)

    def test_are_twelve(self) -> None:
        assert len(LEAKS) + 1 == 12
