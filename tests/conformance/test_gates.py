"""A gate holds at every door: whatever route writes, the statement that writes has asked it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest

from core.changes.gates import GATES, Gate, GateRule, Write, gates_changed
from core.changes.refusals import REFUSALS
from core.conditions import RowCondition
from core.entities import entities
from core.kernel.errors import Locked
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from tests.conformance.calls import control
from tests.conformance.operations import Operation
from tests.conformance.rooms import Rooms
from tests.conformance.test_change_log import rows_now, writing


@contextmanager
def locked(company_id: UUID) -> Iterator[None]:
    """Every record of every entity of the company is locked against everything."""

    def rules(write: Write) -> list[GateRule]:
        return [GateRule("locked_by_test", "id", "Locked.", RowCondition("true"))] if write.entity else []

    GATES._entries["lock"] = Gate("lock", rules)
    REFUSALS._entries["locked_by_test"] = Locked
    try:
        with system_context("a lock on everything"), unit_of_work():
            gates_changed(company_id)
        yield
    finally:
        del GATES._entries["lock"], REFUSALS._entries["locked_by_test"]


# What no gate is asked about: the parts that a write of something else brings along are that write's own.
PARTS: set[str] = set()


def gated(operation: Operation) -> bool:
    return not operation.path.startswith(("/auth/", "/users/me", "/company"))


class TestALockOnEverything:
    @pytest.mark.parametrize(
        "operation", [item for item in writing() if gated(item)], ids=lambda operation: operation.name
    )
    def test_keeps_every_route_from_changing_a_record(self, operation: Operation, rooms: Rooms) -> None:
        call, company = control(operation, rooms.acme), rooms.acme.world.company.pk
        before = rows_now(company)
        with locked(company):
            answer = rooms.send(call, look=lambda: rows_now(company))
        if answer.ok and answer.seen is not None:
            changed = {
                key[0]
                for key in before.keys() | answer.seen.keys()
                if before.get(key) != answer.seen.get(key) and key[0] in entities
            }
            assert changed <= PARTS, "what a gate locks was changed"
