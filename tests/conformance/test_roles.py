"""Which role may do what, against a table that people read: `role_table.txt`.

Made anew after a decision, and read before it is committed:

    ATRIUM_WRITE_ROLE_TABLE=1 .venv/bin/python -m pytest tests/conformance/test_roles.py -k table
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.access.view import EntityView
from tests.conformance.calls import control, resolved
from tests.conformance.operations import Operation, every_operation, operations
from tests.conformance.rooms import Call, Rooms
from tests.worlds import ROLES

TABLE = Path(__file__).with_name("role_table.txt")
_HEAD = """\
# Every operation that needs signing in, and which of the roles a company starts with it lets in: admin, manager, sales,
# viewer; x yes, . no. A new operation without a line here fails. Rows of a bulk request ask for their own right.
# Made by: ATRIUM_WRITE_ROLE_TABLE=1 .venv/bin/python -m pytest tests/conformance/test_roles.py -k table

"""
FORBIDDEN = 403


def written() -> dict[str, str]:
    """The table: operation -> marks."""
    lines = [line for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    return {line[8:].strip(): line[:7] for line in lines}


def guarded() -> list[Operation]:
    return [operation for operation in operations() if not operation.is_public]


def _rows_of(operation: Operation, rooms: Rooms) -> Iterator[tuple[str, Call]]:
    """The operation itself, and for a bulk request each kind of row."""
    call = control(operation, rooms.acme)
    if operation.action != "bulk":
        yield operation.name, call
        return
    for row in call.body["operations"]:
        yield f"{operation.name} {row['op']}", replace(call, body={"operations": [row]})


def _is_let_in(call: Call, role: str, rooms: Rooms) -> bool:
    answer = rooms.send(call, role)
    assert answer.status < 500, f"{role}: {answer.beside[-3000:]}"
    if call.operation.action == "bulk" and answer.ok:
        return bool(answer.json()["results"][0]["status"] != FORBIDDEN)
    return answer.status != FORBIDDEN


def marks(operation: Operation, rooms: Rooms) -> dict[str, str]:
    return {
        name: " ".join("x" if _is_let_in(call, role, rooms) else "." for role in ROLES)
        for name, call in _rows_of(operation, rooms)
    }


class TestRoleTable:
    def test_table_is_made_when_asked_for(self, rooms: Rooms) -> None:
        if not os.environ.get("ATRIUM_WRITE_ROLE_TABLE"):
            pytest.skip("only with ATRIUM_WRITE_ROLE_TABLE=1")
        lines = [
            f"{said} {name}" for operation in guarded() for name, said in marks(operation, rooms).items()
        ]
        TABLE.write_text(_HEAD + "\n".join(lines) + "\n")

    @pytest.mark.parametrize("operation", guarded(), ids=lambda operation: operation.name)
    def test_says_what_is_so(self, operation: Operation, rooms: Rooms) -> None:
        table = written()
        for name, said in marks(operation, rooms).items():
            assert name in table, f"{name} has no line in {TABLE.name}"
            assert said == table[name], f"{name}: {said} where the table says {table[name]}"

    def test_names_nothing_that_is_not_served(self) -> None:
        names = {operation.name for operation in guarded()}
        assert {
            name for name in written() if name not in names and name.rpartition(" ")[0] not in names
        } == set()

    def test_sees_a_right_that_is_not_asked_for(self, rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(EntityView, "can", lambda self, verb: True)
        operation = next(item for item in guarded() if item.action == "destroy" and item.entity)
        with pytest.raises(AssertionError, match="where the table says"):
            self.test_says_what_is_so(operation, rooms)


# --- mass assignment -----------------------------------------------------------------------------------------------

# Never a client's to write, whatever the entity.
SYSTEM_FIELDS = ("company", "company_id", "deleted_at", "deleted_by", "is_deleted", "pk", "_state", "nope")
REFUSED = {"unknown_field", "read_only", "not_editable"}
_ACTIONS = ("create", "update", "partial_update", "by_external_id", "bulk")


def not_writable(operation: Operation) -> list[str]:
    entity = operation.entity
    if entity is None or operation.action not in _ACTIONS:
        return [*SYSTEM_FIELDS, "id", "created_by"]
    declared = [name for name, item in entity.fields.items() if item.read_only and name != "version"]
    # `custom_fields` is an object of fields with modes of their own, see tests/core/access/test_custom_fields.py.
    internal = entity.internal - {"custom_fields"}
    columns = [column.attname for column in entity.model._meta.concrete_fields if column.name in internal]
    creating = ["version"] if operation.action in ("create", "by_external_id") else []
    return list(dict.fromkeys([*SYSTEM_FIELDS, *declared, *sorted(internal), *columns, *creating]))


def declared(operation: Operation) -> set[str]:
    """The fields of its body that the document knows."""
    content = (operation.documented or {})["requestBody"]["content"]
    return set(resolved(next(iter(content.values()))["schema"]).get("properties", ()))


class TestMassAssignment:
    @every_operation()
    def test_is_refused_for_every_field_that_is_not_to_be_written(
        self, operation: Operation, rooms: Rooms
    ) -> None:
        if not operation.takes_body:
            return
        call = control(operation, rooms.acme)
        # What a body of an action calls by the name of a system field is declared.
        names = [
            name for name in not_writable(operation) if operation.entity or name not in declared(operation)
        ]
        if operation.action == "by_external_id":
            names = [name for name in names if name != "version"]
        prefix = ""
        if operation.action == "bulk":
            # A row says by its id which record it means, and in a new one the id is refused before all else.
            names.remove("id")
            rows = [{**row, **dict.fromkeys(names, "x")} for row in call.body["operations"][:2]]
            filled, prefix = replace(call, body={"atomic": True, "operations": rows}), "operations.0."
        else:
            filled = call.telling(**dict.fromkeys(names, "x"))
        answer = rooms.send(filled, watch=True)

        assert answer.status == 400, f"{answer.text} {answer.beside}"
        told = {fault["path"]: fault["code"] for fault in answer.json()["errors"]}
        for name in names:
            assert told.get(f"{prefix}{name}") in REFUSED, f"{name}: {told.get(prefix + name)}"
        if prefix:
            for name in names:
                assert told.get(f"operations.1.{name}") in REFUSED, f"in an update, {name}"

    def test_is_seen_by_this_very_check(self, rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
        operation = next(item for item in operations() if item.action == "create" and item.entity)
        read = EntityView.read_input

        def careless(self: EntityView, document: dict[str, Any], **options: Any) -> dict[str, Any]:
            return read(
                self, {name: value for name, value in document.items() if name != "company_id"}, **options
            )

        monkeypatch.setattr(EntityView, "read_input", careless)
        with pytest.raises(AssertionError):
            self.test_is_refused_for_every_field_that_is_not_to_be_written(operation, rooms)
