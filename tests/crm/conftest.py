"""Fixtures of the CRM's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from core.changes import Outcome, Rows
from core.changes.gates import Verb, ask_again
from core.tenancy.actors import Actor
from crm import operations
from crm.models import Deal, DealContact, DealProduct, Lead
from tests.factories.crm import NOW
from tests.worlds import World


@pytest.fixture
def actor(acme: World, globex: World) -> Iterator[Actor]:
    """Acme's admin at work, inside a transaction; Globex is there too."""
    with acme.acting() as admin:
        yield admin


@pytest.fixture
def gates_known(actor: Actor) -> None:
    """What the company's gates demand has been asked before, as it has in a process that has written once."""
    for model in (Deal, DealContact, DealProduct, Lead):
        verbs: tuple[Verb, ...] = ("create", "update")
        for verb in verbs:
            ask_again(actor.company_id, model, verb)


@pytest.fixture
def change(actor: Actor) -> Callable[..., Outcome]:
    """`change(record, **fields)` updates one record through its operation and answers the outcome."""

    def update(record: Any, *, now: datetime = NOW, **fields: Any) -> Outcome:
        model = type(record)
        write = getattr(operations, f"update_{model._meta.verbose_name_plural.replace(' ', '_')}")
        outcome: Outcome = write(actor=actor, rows=Rows.of(model, [{"id": record.pk, **fields}]), now=now)
        if not outcome.refused:
            record.refresh_from_db()
        return outcome

    return update


def codes(outcome: Outcome, place: int = 0) -> set[tuple[str, str]]:
    """The faults of one row as (path, code)."""
    return {(fault.path, fault.code) for fault in outcome.refused.get(place, ())}
