"""A list takes the same number of statements for one record as for many, with every relation inlined too, and is walked
in every order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.db import connection, transaction

from core.access.output import Output
from core.entities import Entity, entities
from tests.conformance.calls import control, new_document
from tests.conformance.operations import Operation, operations
from tests.conformance.rooms import Call, Rooms

MANY = 15


@pytest.fixture
def crowd(rooms: Rooms) -> Iterator[Rooms]:
    with transaction.atomic():
        yield rooms
        transaction.set_rollback(True)


def lists() -> list[Operation]:
    return [operation for operation in operations() if operation.entity and operation.action == "list"]


def _ids(entity: Entity, rooms: Rooms) -> list[str]:
    """As many records as can be made of it."""
    with rooms.acme.world.acting():
        if entity.name in rooms.acme.chosen:
            return [str(made) for made in rooms.acme.make(entity, MANY)]
    if entity.name == "deal_stage_history":
        with rooms.acme.world.acting() as actor:
            from core.access import view

            rooms.acme.make(entities["deal"], MANY)
            return [str(key) for key in view(entity, actor).records().values_list("pk", flat=True)]
    return [str(key) for key in rooms.acme.records[entity.name]]


class TestLists:
    @pytest.mark.parametrize("operation", lists(), ids=lambda operation: operation.name)
    def test_take_a_constant_number_of_statements(self, operation: Operation, crowd: Rooms) -> None:
        entity = operation.entity
        assert entity is not None
        ids = _ids(entity, crowd)
        call = control(operation, crowd.acme)
        relations = ",".join(name for name, item in entity.fields.items() if item.is_relation)
        for expand in ("", relations):
            shape = {"expand": expand} if expand else {}
            crowd.send(call.asking(id__in=ids[0], **shape))
            one = crowd.send(call.asking(id__in=ids[0], **shape))
            many = crowd.send(call.asking(id__in=",".join(ids), **shape))
            assert (one.status, many.status) == (200, 200), many.text[:300]
            assert one.queries == many.queries, f"with expand={expand!r}"
            if not operation.parameters:
                assert len(many.json()["results"]) == len(ids)

    def test_are_caught_when_they_ask_for_each_record(
        self, crowd: Rooms, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        documents = Output.documents

        def greedy(self: Output, *args: object, **kwargs: object) -> object:
            found = documents(self, *args, **kwargs)  # type: ignore[arg-type]
            for _ in found:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
            return found

        monkeypatch.setattr(Output, "documents", greedy)
        with pytest.raises(AssertionError):
            self.test_take_a_constant_number_of_statements(lists()[0], crowd)


class TestCursors:
    @pytest.mark.parametrize("operation", lists(), ids=lambda operation: operation.name)
    def test_walk_in_every_order_there_and_back(self, operation: Operation, crowd: Rooms) -> None:
        """As the numbered page has it, whether the fields of the order are shown or not."""
        entity = operation.entity
        assert entity is not None
        _ids(entity, crowd)
        call = control(operation, crowd.acme)
        sortable = [name for name, item in entity.fields.items() if item.sortable]
        for place, name in enumerate(sortable):
            order = f"-{name}" if place % 2 else name
            asked = call.asking(ordering=order, **({} if place % 4 < 2 else {"fields": "id"}))
            whole = crowd.send(asked.asking(page_size="500"))
            assert whole.ok, whole.text
            ids = [record["id"] for record in whole.json()["results"]]
            there, back = [], []
            page = crowd.send(asked.asking(page_size="6", cursor="")).json()
            there.append([record["id"] for record in page["results"]])
            while page["next"]:
                page = crowd.send(_followed(call, page["next"])).json()
                there.append([record["id"] for record in page["results"]])
            while page["previous"]:
                page = crowd.send(_followed(call, page["previous"])).json()
                back.append([record["id"] for record in page["results"]])
            assert [*chain.from_iterable(there)] == ids, order
            assert back == there[-2::-1], order


def _followed(call: Call, link: str) -> Call:
    return replace(call, query=tuple(parse_qsl(urlsplit(link).query, keep_blank_values=True)))


class TestBulk:
    @pytest.mark.parametrize(
        "operation",
        [operation for operation in operations() if operation.action == "bulk"],
        ids=lambda operation: operation.name,
    )
    def test_takes_a_constant_number_of_statements(self, operation: Operation, rooms: Rooms) -> None:
        call = control(operation, rooms.acme)

        def creating(count: int) -> int:
            rows = [{"op": "create", **new_document(operation, rooms.acme)} for _ in range(count)]
            answer = rooms.send(replace(call, body={"atomic": True, "operations": rows}))
            assert answer.ok, answer.text[:500]
            return answer.queries

        creating(2)
        assert creating(2) == creating(MANY)
