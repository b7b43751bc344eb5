"""Every write of records: rows go in, an `Outcome` comes out, and one statement completes, checks and stores them.

Aliases an operation's SQL may use: `n` the record as it will be, `o` the record as it was (all null when it is new),
`r` the candidate row itself, `g` for each column whether the candidate row gives it a value (true or false), and whatever
`joins` adds; parameters are `%(company)s`, `%(user)s`, `%(now)s` and `%(source)s` (the channel). The model's own
constraints are rules already, and so is what the company's gates demand (`core.changes.gates`). A refused row is not
written and says why; with `all_or_none` one refusal keeps every row out.

The SQL is in `core.changes.statements`; `core.changes.judging` says what a write would do.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from core.changes.causes import refuse_loops
from core.changes.constraints import Rule
from core.changes.gates import GateRules, Verb, ask_again, rules_for
from core.changes.outcome import Outcome
from core.changes.rows import Rows
from core.changes.statements import GateTests, WriteSpec, erase_sql, insert_sql, places, update_sql
from core.changes.waking import wake_stream
from core.kernel.errors import Fault
from core.kernel.transactions import needs_transaction
from core.tenancy import context
from core.tenancy.actors import Actor
from core.tenancy.postgresql.base import database

__all__ = ["WriteSpec", "erase", "insert", "remove", "restore", "update"]


def insert(
    spec: WriteSpec,
    rows: Rows,
    *,
    actor: Actor,
    now: datetime,
    all_or_none: bool = True,
) -> Outcome:
    """Write new records. Needs a transaction.

    References to records that are not there (in this company, not deleted) are refused as `does_not_exist`.
    Raises: LoopDetected, as every write does.
    """

    def sql(gates: GateTests | None) -> str:
        return insert_sql(spec, rows.sql, rows.columns, rows.sparse, all_or_none, gates)

    return _run(sql, spec, "create", rows, actor, now, all_or_none)


def update(spec: WriteSpec, rows: Rows, *, actor: Actor, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change records by id, locking them in id order. Needs a transaction.

    A row that is not there (any more) is refused as `not_found`, one whose version moved on as `stale`. A record that is
    already as asked keeps its version and leaves no log entry.
    """
    return _update(spec, "update", rows, actor, now, all_or_none)


def remove(spec: WriteSpec, rows: Rows, *, actor: Actor, now: datetime, all_or_none: bool = True) -> Outcome:
    """Move records to the recycle bin. Needs a transaction. `rows` carry ids (and expected versions) only."""
    return _update(removal(spec), "delete", rows, actor, now, all_or_none)


def restore(spec: WriteSpec, rows: Rows, *, actor: Actor, now: datetime, all_or_none: bool = True) -> Outcome:
    """Bring records back from the recycle bin. Needs a transaction."""
    return _update(restoration(spec), "restore", rows, actor, now, all_or_none)


def erase(spec: WriteSpec, rows: Rows, *, actor: Actor, now: datetime, all_or_none: bool = True) -> Outcome:
    """Delete rows for good, for models without a recycle bin. Needs a transaction. `rows` carry ids only.

    The spec's rules may use `o`; they must refuse a row that others still refer to.
    """

    def sql(gates: GateTests | None) -> str:
        return erase_sql(spec, rows.sql, rows.has_expected_version, all_or_none, gates)

    return _run(sql, spec, "delete", rows, actor, now, all_or_none)


@lru_cache(maxsize=256)
def removal(spec: WriteSpec) -> WriteSpec:
    """How a record of the spec is moved to the recycle bin."""
    return WriteSpec(
        spec.model,
        derive={"deleted_at": "%(now)s::timestamptz", "deleted_by_id": "%(user)s::uuid"},
        rules=(Rule("not_found", "id", "There is no such record.", "o.deleted_at IS NOT NULL"),),
    )


@lru_cache(maxsize=256)
def restoration(spec: WriteSpec) -> WriteSpec:
    """How a record of the spec is brought back from the recycle bin."""
    return WriteSpec(
        spec.model,
        derive={"deleted_at": "NULL::timestamptz", "deleted_by_id": "NULL::uuid"},
        rules=(
            Rule("not_found", "id", "There is no such record in the recycle bin.", "o.deleted_at IS NULL"),
        ),
    )


def _update(
    spec: WriteSpec, verb: Verb, rows: Rows, actor: Actor, now: datetime, all_or_none: bool
) -> Outcome:
    def sql(gates: GateTests | None) -> str:
        return update_sql(
            spec, rows.sql, rows.columns, rows.has_expected_version, rows.sparse, all_or_none, gates
        )

    return _run(sql, spec, verb, rows, actor, now, all_or_none)


def _run(
    sql: Callable[[GateTests | None], str],
    spec: WriteSpec,
    verb: Verb,
    rows: Rows,
    actor: Actor,
    now: datetime,
    all_or_none: bool,
) -> Outcome:
    needs_transaction()
    refuse_loops()
    ids: dict[int, UUID] = {}
    versions: dict[int, int] = {}
    refused: dict[int, tuple[Fault, ...]] = {}
    unchanged = set()
    found = fetch(sql, spec, verb, rows, actor, now)
    for place, record_id, version, changed, faults, _ in found:
        if faults:
            refused[place] = read_faults(faults)
        else:
            ids[place], versions[place] = record_id, version
            if not changed:
                unchanged.add(place)
    if all_or_none and refused:
        return Outcome({}, {}, refused)
    if len(ids) > len(unchanged):
        wake_stream()
    return Outcome(ids, versions, refused, frozenset(unchanged))


def fetch(
    sql: Callable[[GateTests | None], str],
    spec: WriteSpec,
    verb: Verb,
    rows: Rows,
    actor: Actor,
    now: datetime,
) -> list[tuple[Any, ...]]:
    """Run a statement of `core.changes.statements` with what the gates demand at its own moment; gives its rows."""
    params = dict(zip(places(len(rows.params)), rows.params, strict=True))
    params |= {
        "company": actor.company_id,
        "user": actor.user_id,
        "now": now,
        "source": context.current().source,
    }
    # A query may select any number of rows: a plan made for one would join them one by one.
    may_prepare = rows.count is not None
    gates: GateRules | None = rules_for(actor.company_id, spec.model, verb)
    while True:
        if gates is None:
            return database().fetch_prepared(sql(None), params, prepare=may_prepare)
        found = database().fetch_prepared(
            sql(gates.tests), {**params, **gates.params(now)}, prepare=may_prepare
        )
        if all(are_current for _, _, _, _, _, are_current, *_ in found):
            return found
        # Somebody changed a gate since it was asked: nothing was written.
        gates = ask_again(actor.company_id, spec.model, verb)


def read_faults(faults: list[str]) -> tuple[Fault, ...]:
    """Faults as the statement answers them."""
    return tuple(Fault(*fault.split("\x1f")) for fault in faults)
