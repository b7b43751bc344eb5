"""Many writes in one request: `{"atomic": true, "operations": [{"op": "create", …}, {"op": "update", "id": …, …}]}`.

One statement for each kind of operation, whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from core.access import EntityView
from core.access.writing import MAX_ROWS, write
from core.changes.rows import EXPECTED_VERSION
from core.kernel.errors import NOT_EDITABLE, DomainError, Fault, Invalid, NotFound, TooLarge, as_object
from core.rest import problems

OPERATIONS = ("create", "update", "delete")
SUCCESS = {"create": 201, "update": 200, "delete": 204}
STATUS_BY_CODE = {
    "not_found": 404,
    "stale": 412,
    "forbidden": 403,
    NOT_EDITABLE: 403,
    "conflict": 409,
    "locked": 423,
}


@dataclass
class _Item:
    place: int
    # What was sent, whether there is such an operation or not.
    op: Any
    row: dict[str, Any]
    faults: tuple[Fault, ...] = ()
    record_id: UUID | None = None
    version: int | None = None

    @property
    def status(self) -> int:
        if self.faults:
            return STATUS_BY_CODE.get(self.faults[0].code, 400)
        return SUCCESS[self.op]


def answer(view: EntityView, document: Any, now: datetime) -> dict[str, Any]:
    """The result of each operation, as a document.

    Raises: Invalid when the request is malformed, or atomic and one row was refused (nothing is written then).
    """
    atomic, operations = _read(document)
    items = [_item(view, place, operation) for place, operation in enumerate(operations)]
    _refuse_repeated_ids(items)
    _refuse_unseen(view, items)
    if atomic:
        _raise_faults(items)
    for op in OPERATIONS:
        chosen = [item for item in items if item.op == op and not item.faults]
        if chosen:
            _write(view, op, chosen, now, atomic)
    if atomic:
        _raise_faults(items)
    failed = sum(1 for item in items if item.faults)
    return {
        "atomic": atomic,
        "succeeded": len(items) - failed,
        "failed": failed,
        "results": [_result(item) for item in items],
    }


def _read(document: Any) -> tuple[bool, list[Any]]:
    document = as_object(document)
    faults = [
        Fault(str(name), "unknown_field", "There is no such field.")
        for name in document
        if name not in ("atomic", "operations")
    ]
    atomic, operations = document.get("atomic", False), document.get("operations")
    if not isinstance(atomic, bool):
        faults.append(Fault("atomic", "not_a_boolean", "true or false is expected."))
    if not isinstance(operations, list) or not operations:
        faults.append(Fault("operations", "required", "A list of operations is expected."))
    if faults or not isinstance(operations, list):
        raise Invalid(faults=faults)
    if len(operations) > MAX_ROWS:
        raise TooLarge(
            f"At most {MAX_ROWS} operations go in one request.",
            code="too_many_operations",
            limit=MAX_ROWS,
        )
    return bool(atomic), operations


def _item(view: EntityView, place: int, operation: Any) -> _Item:
    given = operation.get("op") if isinstance(operation, Mapping) else None
    if not isinstance(given, str) or given not in OPERATIONS:
        fault = Fault("op", "not_a_choice", f"op is one of {', '.join(OPERATIONS)}.")
        return _Item(place, given if isinstance(given, str) else None, {}, (fault,))
    op = operation["op"]
    fields = {name: value for name, value in operation.items() if name not in ("op", "id")}
    item = _Item(place, op, {})
    if not view.can(op):
        item.faults = (Fault("op", "forbidden", f"Your role may not {op} these records."),)
        return item
    try:
        if op == "create":
            if "id" in operation:
                raise Invalid(faults=[Fault("id", "read_only", "This field is set by the system.")])
            item.row = view.read_input(fields, partial=False)
        else:
            item.record_id = _id(operation.get("id"))
            item.row = view.read_input(fields, partial=True, operation="update") | {"id": item.record_id}
            if op == "delete" and set(item.row) - {"id", EXPECTED_VERSION}:
                raise Invalid(faults=[Fault("op", "unknown_field", "A delete takes id and version only.")])
    except DomainError as refusal:
        item.faults = refusal.faults
    return item


def _id(value: Any) -> UUID:
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise Invalid(faults=[Fault("id", "not_an_id", "An id (UUID) is expected.")]) from None


def _refuse_repeated_ids(items: list[_Item]) -> None:
    seen: set[UUID] = set()
    for item in items:
        if item.record_id is None:
            continue
        if item.record_id in seen:
            item.faults = item.faults or (
                Fault("id", "repeated", "This record is named twice in one request."),
            )
        seen.add(item.record_id)


def _refuse_unseen(view: EntityView, items: list[_Item]) -> None:
    ids = {item.record_id for item in items if item.record_id is not None}
    open_for = view.open_for(ids, ("update", "delete"))
    for item in items:
        if item.record_id is None:
            continue
        # Whether the record is there for the caller is answered before anything else about it.
        if item.record_id not in open_for:
            item.faults = (Fault("id", "not_found", NotFound.title + "."),)
        elif not item.faults and item.op not in open_for[item.record_id]:
            item.faults = (Fault("id", "forbidden", view.not_open(item.op).detail),)


def _write(view: EntityView, op: str, chosen: list[_Item], now: datetime, atomic: bool) -> None:
    outcome = write(view, op, [item.row for item in chosen], now=now, all_or_none=atomic)
    for place, item in enumerate(chosen):
        if place in outcome.refused:
            item.faults = outcome.refused[place]
        elif place in outcome.ids:
            item.record_id, item.version = outcome.ids[place], outcome.versions[place]


def _raise_faults(items: list[_Item]) -> None:
    faults = [fault.below(f"operations.{item.place}") for item in items for fault in item.faults]
    if faults:
        raise Invalid("Some operations were refused; nothing was written.", faults=faults)


def _result(item: _Item) -> dict[str, Any]:
    result: dict[str, Any] = {"index": item.place, "op": item.op, "status": item.status}
    if item.faults:
        result["errors"] = problems.faults_as_json(item.faults)
    if item.record_id is not None:
        result["id"] = str(item.record_id)
    if item.version is not None and item.op != "delete":
        result["version"] = item.version
    return result
