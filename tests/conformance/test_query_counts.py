"""A list takes the same number of statements for one record as for many, with every relation inlined too."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import connection

from core.access.output import Output
from tests.conformance.calls import control, new_document
from tests.conformance.operations import Operation, every_operation, lists, operations
from tests.conformance.rooms import MANY, Rooms


class TestLists:
    @every_operation(lists())
    def test_take_a_constant_number_of_statements(self, operation: Operation, crowd: Rooms) -> None:
        entity = operation.entity
        assert entity is not None
        ids = crowd.fill(entity)
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


class TestBulk:
    @every_operation([operation for operation in operations() if operation.action == "bulk"])
    def test_takes_a_constant_number_of_statements(self, operation: Operation, rooms: Rooms) -> None:
        call = control(operation, rooms.acme)

        def creating(count: int) -> int:
            rows = [{"op": "create", **new_document(operation, rooms.acme)} for _ in range(count)]
            answer = rooms.send(replace(call, body={"atomic": True, "operations": rows}))
            assert answer.ok, answer.text[:500]
            return answer.queries

        creating(2)
        assert creating(2) == creating(MANY)
