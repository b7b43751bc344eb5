"""The isolation matrix as a function, so that its own tests can ask whether it sees a leak."""

from __future__ import annotations

from core.kernel.ids import uuid7
from tests.conformance.calls import control
from tests.conformance.operations import Operation
from tests.conformance.rooms import Call, Rooms
from tests.conformance.slots import Slot, slots


def faults_of(operation: Operation, rooms: Rooms, role: str = "admin", *, only: str = "") -> list[str]:
    """Where another company's value makes a difference to one that never was, or its data can be seen."""
    call = control(operation, rooms.acme)
    found = []
    if not only:
        answer = rooms.send(call, role, watch=operation.writes)
        if role == "admin" and (not answer.ok or answer.error):
            return [
                f"{operation.name}: its control fails: {answer.status} {answer.text[:500]} {answer.error}"
            ]
        found = [f"{operation.name}: {leak}" for leak in rooms.leaks(answer, "")]
    ghost = str(uuid7())
    for slot in slots(call, rooms, ghost):
        if only in slot.name:
            found += [
                f"{operation.name}, {slot.name}: {fault}" for fault in _compare(operation, slot, rooms, role)
            ]
    return found


def _compare(operation: Operation, slot: Slot, rooms: Rooms, role: str) -> list[str]:
    theirs, ghost = slot.filled(slot.theirs), slot.filled(slot.ghost)
    found = _differences(operation, slot, theirs, ghost, rooms, role)
    if any("statements" in fault for fault in found):
        # Whatever is compiled once per process has been compiled by now.
        found = _differences(operation, slot, theirs, ghost, rooms, role)
    return found


def _differences(
    operation: Operation, slot: Slot, theirs: Call, ghost: Call, rooms: Rooms, role: str
) -> list[str]:
    nobody = rooms.send(ghost, role)
    foreign = rooms.send(theirs, role, watch=operation.writes)
    found = rooms.leaks(foreign, slot.theirs)
    if foreign.status >= 500:
        found.append(f"answers {foreign.status}")
    seen, expected = rooms.outline(foreign, slot.theirs), rooms.outline(nobody, slot.ghost)
    for what, one, other in zip(("status", "body", "headers"), seen, expected, strict=True):
        if one != other:
            found.append(f"{what} {one!s:.400} where nobody's gives {other!s:.400}")
    if foreign.queries != nobody.queries:
        found.append(f"{foreign.queries} statements where nobody's takes {nobody.queries}")
    return found
