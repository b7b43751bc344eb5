"""Writes of exchange rates."""

from __future__ import annotations

from datetime import datetime

from analytics.currencies.models import ExchangeRate
from core.changes import Outcome, Rows, WriteSpec, erase, insert, update
from core.tenancy.actors import Actor

_SPEC = WriteSpec(ExchangeRate)


def create_rates(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Keep rates. Needs a transaction."""
    return insert(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)


def update_rates(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change rates. Needs a transaction."""
    return update(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)


def delete_rates(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Remove rates. Needs a transaction."""
    return erase(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)
