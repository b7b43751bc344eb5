"""From refused rows to the domain error that answers a request."""

from __future__ import annotations

from collections.abc import Mapping

from core.kernel.errors import Conflict, DomainError, Fault, Invalid, Locked, NotFound, Stale
from core.kernel.registry import Registry

# Fault codes that decide the whole answer; everything else is an invalid input. Upper apps add those of their gates in
# `extensions.py` (`locked_by_approval` -> Locked).
REFUSALS: Registry[type[DomainError]] = Registry("refusal")
REFUSALS.register("not_found", NotFound)
REFUSALS.register("stale", Stale)
REFUSALS.register("conflict", Conflict)
REFUSALS.register("locked", Locked)


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
        error = REFUSALS.find(fault.code)
        if error is not None:
            is_whole = fault.code in ("not_found", "stale")
            return error(fault.detail, code=fault.code, faults=() if is_whole else faults)
    return Invalid(faults=faults)
