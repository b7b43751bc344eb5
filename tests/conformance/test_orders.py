"""A list goes by cursor as its numbered page goes, in every order it offers."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, product
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.conformance.calls import control
from tests.conformance.operations import Operation, every_operation, lists
from tests.conformance.rooms import Call, Rooms

PAGE = "6"


def _ids(call: Call, rooms: Rooms) -> tuple[list[str], str | None, str | None]:
    answer = rooms.send(call)
    assert answer.ok, f"{call.query}: {answer.text}"
    page = answer.json()
    return [record["id"] for record in page["results"]], page["next"], page["previous"]


def _followed(call: Call, link: str) -> Call:
    return replace(call, query=tuple(parse_qsl(urlsplit(link).query, keep_blank_values=True)))


class TestOrders:
    @every_operation(lists())
    def test_are_walked_there_and_back(
        self, operation: Operation, crowd: Rooms, request: pytest.FixtureRequest
    ) -> None:
        """With the field of the order shown or not; always in one direction, with --long in both."""
        entity = operation.entity
        assert entity is not None
        crowd.fill(entity)
        call = control(operation, crowd.acme)
        sortable = [name for name, field in entity.fields.items() if field.sortable]
        # Direction and shape by turns.
        every = list(product(("", "-"), ({}, {"fields": "id"})))
        for place, name in enumerate(sortable):
            for sign, shape in every if request.config.getoption("--long") else [every[place % len(every)]]:
                self._walk(call.asking(ordering=f"{sign}{name}", **shape), crowd)

    def _walk(self, call: Call, rooms: Rooms) -> None:
        whole, _, _ = _ids(call.asking(page_size="500"), rooms)
        there, back = [], []
        page, following, previous = _ids(call.asking(page_size=PAGE, cursor=""), rooms)
        there.append(page)
        while following:
            page, following, previous = _ids(_followed(call, following), rooms)
            there.append(page)
        while previous:
            page, _, previous = _ids(_followed(call, previous), rooms)
            back.append(page)
        assert [*chain.from_iterable(there)] == whole, call.query
        assert back == there[-2::-1], call.query
