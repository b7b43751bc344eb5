"""From refused rows to the domain error that answers a request."""

from __future__ import annotations

from collections.abc import Mapping

from core.kernel.errors import Conflict, DomainError, Fault, Invalid, Locked, NotFound, Stale

# A fault code that decides the whole answer; everything else is an invalid input.
_BY_CODE: dict[str, type[DomainError]] = {
    "not_found": NotFound,
    "stale": Stale,
    "conflict": Conflict,
    "locked": Locked,
}


def refusal(refused: Mapping[int, tuple[Fault, ...]]) -> DomainError:
    """One refused row answers with its own faults, several with `rows.<place>` before each path."""
    first = min(refused)
    faults = refused[first]
    if len(refused) > 1 or first > 0:
        listed = tuple(
            item.below(f"rows.{place}") for place, items in sorted(refused.items()) for item in items
        )
        return Invalid("Some rows were refused; nothing was written.", faults=listed)
    for fault in faults:
        if fault.code in _BY_CODE:
            error = _BY_CODE[fault.code]
            return error(fault.detail, faults=() if fault.code in ("not_found", "stale") else faults)
    return Invalid(faults=faults)
