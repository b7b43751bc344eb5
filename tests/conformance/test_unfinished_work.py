"""Every operation of every entity and every declared action, called inside a larger piece of work that then fails, leaves
nothing. Really committed."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from core.access import view
from core.access.actions import perform
from core.changes import Rows
from core.entities import Entity, entities
from core.entities.actions import ACTIONS, Action
from core.kernel.transactions import retried
from core.tenancy.context import actor_context, system_context
from core.tenancy.guard import company_models
from tests.conformance.calls import control
from tests.conformance.operations import operations
from tests.factories.records import BINNED, SPARE, Marks, Stock, stock
from tests.worlds import World, make_world

VERBS = ("create", "update", "delete", "restore")
Fingerprint = dict[str, tuple[int, str]]


class Failure(Exception):
    """The larger piece of work fails."""


@pytest.fixture
def acme(transactional_db: None, settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Stock:
    settings.MEDIA_ROOT = tmp_path
    # Its work waits: an import that has begun takes no update.
    monkeypatch.setattr("core.jobs.operations.ring_after_commit", lambda *_: None)
    return stock(make_world("acme"), Marks("Acme", 11_000, "2026-06-30"))


def fingerprint() -> Fingerprint:
    """Count and checksum of each company's table, the change log included."""
    tables = sorted({model._meta.db_table for model in company_models()} | {"core_changelog"})
    union = " UNION ALL ".join(
        f"SELECT '{table}', count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM \"{table}\" t"
        for table in tables
    )
    with system_context("what is there"):
        found = retried(lambda: connection.fetch_prepared(union))  # type: ignore[attr-defined]
    return {table: (count, checksum) for table, count, checksum in found}


def rows_for(made: Stock, entity: Entity, verb: str) -> Rows | None:
    """Input that the operation takes; none where the entity has no such operation."""
    if getattr(entity.writes, verb) is None:
        return None
    seen = view(entity, made.world.actor())
    if verb == "create":
        row = seen.read_input(made.document(entity), partial=False)
    elif verb == "update":
        document = made.document(entity)
        # What a record refers to may be fixed.
        plain = [name for name in document if not seen.field(name).is_relation]
        taken = {name: document[name] for name in plain if name in seen.entity.title or len(plain) < 3}
        row = {**seen.read_input(taken, partial=True, operation="update"), "id": made.record(entity.name)}
    elif verb == "delete":
        row = {"id": made.record(entity.name, SPARE)}
    else:
        row = {"id": made.record(entity.name, BINNED)}
    return Rows.of(entity.model, [row])


def survivors(made: Stock) -> tuple[set[str], set[str]]:
    """Operations that left something, and those that refused what they were given. Each runs for itself."""
    world: World = made.world
    left, refused = set(), set()
    actor = world.actor()
    before = fingerprint()
    for entity in entities:
        for verb in VERBS:
            name = f"{entity.name}.{verb}"

            def larger(entity: Entity = entity, verb: str = verb, name: str = name) -> None:
                rows = rows_for(made, entity, verb)
                if rows is not None:
                    operation = getattr(entity.writes, verb)
                    outcome = operation(actor=actor, rows=rows, now=timezone.now(), all_or_none=True)
                    if outcome.refused:
                        refused.add(f"{name}: {outcome.refused[0]}")
                raise Failure

            with pytest.raises(Failure), actor_context(actor, source="test"):
                retried(larger)
            now = fingerprint()
            if now != before:
                left.add(name)
                before = now
    return left, refused


def surviving_actions(made: Stock) -> set[str]:
    """Declared actions that left something although the larger piece of work around them failed."""
    left = set()
    actor = made.world.actor()
    served = {(item.entity.name, item.path): item for item in operations() if item.entity is not None}
    before = fingerprint()
    for action in ACTIONS:
        path = f"/api/v1/{entities[action.entity].path}/{{pk}}/{action.path}/"

        def larger(action: Action = action, path: str = path) -> None:
            call = control(served[action.entity, path], made)
            seen = view(action.entity, actor)
            perform(seen, action.name, call.path["pk"], call.body or {}, now=timezone.now())
            raise Failure

        with pytest.raises(Failure), actor_context(actor, source="test"):
            retried(larger)
        now = fingerprint()
        if now != before:
            left.add(action.key)
            before = now
    return left


class TestOperations:
    def test_leave_nothing_when_what_is_around_them_fails(self, acme: Stock) -> None:
        left, refused = survivors(acme)

        assert left == set()
        assert refused == set()

    def test_of_declared_actions_leave_nothing_either(self, acme: Stock) -> None:
        assert len(ACTIONS) > 0
        assert surviving_actions(acme) == set()

    def test_that_commit_are_seen(self, acme: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
        """The test above can fail."""
        entity = entities["tag"]
        plain = entity.writes.create

        def commits(**arguments: Any) -> Any:
            outcome = plain(**arguments)
            connection.connection.execute("COMMIT")
            connection.connection.execute("BEGIN")
            return outcome

        object.__setattr__(entity.writes, "create", commits)
        try:
            assert survivors(acme)[0] == {"tag.create"}
        finally:
            object.__setattr__(entity.writes, "create", plain)
