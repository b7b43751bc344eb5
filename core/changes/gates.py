"""Gates: rules that a company adds to the writes of its records (validation rules, locks while an approval is pending).

A gate answers with `GateRule`s for one kind of record and one verb. They become part of the write statement itself, so
they hold at every door: API, bulk, import, back office, actions, raw operations. All faults of a row are reported at
once, those of the model and those of the gates.

What the gates answer is kept per process. The statement compares the company's `gates_version` with the one it was made
for; where they differ, nothing is written and the gates are asked again. So whoever changes what a gate would answer
calls `gates_changed` in the same transaction, and a company without rules costs one look-up by key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

from django.db import models

from core.conditions import RowCondition
from core.entities.registry import entity_of_model
from core.kernel.registry import Registry
from core.kernel.transactions import needs_transaction
from core.tenancy.postgresql.base import database

Verb = Literal["create", "update", "delete", "restore"]

MAX_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class GateRule:
    """Refuses a row that meets `when`, with this fault. `code` decides the answer's status, see `REFUSALS`."""

    code: str
    path: str
    detail: str
    when: RowCondition


@dataclass(frozen=True, slots=True)
class Write:
    """What a gate is asked about: writes of one kind of record with one verb, in the company in context."""

    company_id: UUID
    # The entity's name; empty for a model that is none.
    entity: str
    model: type[models.Model]
    verb: Verb


@dataclass(frozen=True, slots=True)
class Gate:
    """`rules` answers what a company demands. It may read tables; only `gates_changed` has it asked again.

    A `RowCondition` comes from `core.conditions.row_condition`, or is SQL of the gate's own over `n` (the row as it will
    be; at a deletion as it is), `o` (as it was, all null for a new one), `%(company)s`, `%(user)s` and `%(now)s`. What it
    reads of other tables is as the statement found it when it began, also where it waited for a lock on the row since.
    """

    name: str
    rules: Callable[[Write], Sequence[GateRule]]
    # The entities it may have rules for; empty: all. Writes of others are not even looked up.
    entities: frozenset[str] = frozenset()

    def may_apply_to(self, entity: str) -> bool:
        return not self.entities or entity in self.entities


GATES: Registry[Gate] = Registry("gate")


@dataclass(frozen=True, slots=True)
class GateRules:
    """Rules of all gates for one company and kind of write, with placeholders of their own (`%(gate0)s`, …)."""

    # The company's token; none before a gate changed for the first time.
    version: UUID | None = None
    # For each rule: when it refuses, and the parameter that holds its fault.
    tests: tuple[tuple[str, str], ...] = ()
    faults: Mapping[str, str] | None = None
    values: Mapping[str, Callable[[datetime], Any]] | None = None

    def params(self, now: datetime) -> dict[str, Any]:
        """The statement's parameters at this time."""
        values = {name: value(now) for name, value in (self.values or {}).items()}
        return {**values, **(self.faults or {}), "gates_version": self.version}


_kept: dict[Hashable, GateRules] = {}


def rules_for(company_id: UUID, model: type[models.Model], verb: Verb) -> GateRules | None:
    """What the gates were last heard to demand; None where no gate can have a rule. See `ask_again`."""
    if not any(gate.may_apply_to(_entity_name(model)) for gate in GATES):
        return None
    found = _kept.get((company_id, model, verb))
    return ask_again(company_id, model, verb) if found is None else found


def ask_again(company_id: UUID, model: type[models.Model], verb: Verb) -> GateRules:
    """Ask every gate, and remember the answers for the company's present `gates_version`."""
    # Before the gates read: an answer may be newer than its version, never older.
    [(version,)] = database().fetch_prepared(
        "SELECT gates_version FROM core_company WHERE id = %s", (company_id,)
    )
    write = Write(company_id, _entity_name(model), model, verb)
    tests: list[tuple[str, str]] = []
    faults: dict[str, str] = {}
    values: dict[str, Callable[[datetime], Any]] = {}
    for gate in GATES:
        for rule in gate.rules(write) if gate.may_apply_to(write.entity) else ():
            fault = f"gate{len(faults)}"
            when, named = _named(rule.when, f"{fault}_")
            tests.append((when, fault))
            faults[fault] = "\x1f".join(
                part.replace("\x1f", " ") for part in (rule.path, rule.code, rule.detail)
            )
            values |= named
    if len(_kept) >= MAX_KEPT:
        _kept.clear()
    answer = _kept[(company_id, model, verb)] = GateRules(version, tuple(tests), faults, values)
    return answer


def gates_changed(company_id: UUID) -> None:
    """Have every process ask the gates again before the company's next write. Needs a transaction.

    Call it in the transaction that changes a rule. Writes that began before its commit are still judged by the old ones.
    """
    needs_transaction()
    # A token rather than a number: one that was rolled back never comes again with another meaning.
    database().fetch_prepared("UPDATE core_company SET gates_version = uuidv7() WHERE id = %s", (company_id,))


_PLACE = re.compile(r"%%|%s")


def _named(when: RowCondition, prefix: str) -> tuple[str, dict[str, Callable[[datetime], Any]]]:
    """The condition with names for its parameters."""
    names = (f"{prefix}{place}" for place in range(len(when.values)))
    sql = _PLACE.sub(lambda match: match[0] if match[0] == "%%" else f"%({next(names)})s", when.sql)
    return sql, {f"{prefix}{place}": value for place, value in enumerate(when.values)}


@lru_cache(maxsize=256)
def _entity_name(model: type[models.Model]) -> str:
    entity = entity_of_model(model)
    return "" if entity is None else entity.name
