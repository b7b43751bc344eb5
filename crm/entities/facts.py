"""What the facts of several kinds of records share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from core.entities import fact
from core.entities.kinds import Kind

Happened = Callable[[frozenset[str], Mapping[str, Any], Mapping[str, Any]], bool]


def changed_field(name: str) -> Happened:
    return lambda changed, old, new: name in changed


def became(name: str, *values: str) -> Happened:
    return lambda changed, old, new: name in changed and new.get(name) in values


def address_facts(prefix: str = "", pii: bool = False) -> tuple[Any, ...]:
    parts = ("street", "city", "state", "postal_code")
    return (
        *(fact(f"{prefix}{part}", pii=pii) for part in parts),
        fact(f"{prefix}country", kind=Kind.COUNTRY),
    )


def person_reach_facts() -> tuple[Any, ...]:
    """How a person is reached: the same for a lead as for the contact it becomes."""
    return (
        fact("email", kind=Kind.EMAIL, pii=True, key=True, search="A", meaning="email", folded="email_norm"),
        fact("phone", kind=Kind.PHONE, pii=True, search="B", meaning="phone"),
        fact("mobile", kind=Kind.PHONE, pii=True, search="B"),
    )
