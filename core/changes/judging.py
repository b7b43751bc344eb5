"""What a write would do, without doing it: the write's own statement, ended before it stores anything.

No row is locked and no transaction id is taken, so that a dry run of any length holds nobody up, the change stream
included. It sees the tables as they are at its moment: not what the same dry run would have written before, nor what an
operation does around its write (tags added to the catalog, totals that follow, circles closed by several rows together).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from core.changes.constraints import unique_keys
from core.changes.gates import Verb
from core.changes.rows import Rows, columns_of
from core.changes.statements import GateTests, Judging, WriteSpec, erase_sql, insert_sql, update_sql
from core.changes.writes import fetch, read_faults, removal, restoration
from core.kernel.errors import Fault
from core.kernel.transactions import needs_transaction
from core.tenancy.actors import Actor

Effect = Literal["create", "update", "delete", "restore", "unchanged", "refused"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What would become of one row. `old` and `new` map field names to values as JSON has them, decimals exact.

    A create has all its values in `new`, a deletion for good all in `old`, anything else what differs in both. A refused
    row has what it would have come to.
    """

    id: UUID
    effect: Effect
    faults: tuple[Fault, ...] = ()
    old: Mapping[str, Any] = field(default_factory=dict)
    new: Mapping[str, Any] = field(default_factory=dict)
    # The unique keys that the row would hold, with the fault of another row that held the same; see `judge`.
    keys: Mapping[str, Fault] = field(default_factory=dict)


def judge(
    spec: WriteSpec,
    verb: Verb,
    rows: Rows,
    *,
    actor: Actor,
    now: datetime,
    fields: Iterable[str] | None = None,
    with_keys: bool = False,
) -> dict[int, Judged]:
    """What `insert`, `update`, `remove`, `restore` or `erase` would do with each row, by its place. Needs a transaction.

    `fields` limits the values that are told. `with_keys` tells the unique keys that each row would hold, so that the
    caller can compare rows that are judged apart: of two with the same key, the later one would be refused.
    """
    needs_transaction()
    model = spec.model
    names = {str(column.column): column.name for column in model._meta.concrete_fields}
    columns = columns_of(model)
    judging = Judging(
        None if fields is None else tuple(sorted({columns[name] for name in fields})), with_keys
    )
    soft = "deleted_at" in columns
    target = {"delete": removal(spec) if soft else spec, "restore": restoration(spec)}.get(verb, spec)

    def sql(gates: GateTests | None) -> str:
        if verb == "create":
            return insert_sql(target, rows.sql, rows.columns, rows.sparse, False, gates, judging)
        if verb == "delete" and not soft:
            return erase_sql(target, rows.sql, rows.has_expected_version, False, gates, judging)
        return update_sql(
            target, rows.sql, rows.columns, rows.has_expected_version, rows.sparse, False, gates, judging
        )

    changing = {*rows.columns, *target.derive} - {"id"}
    unique = unique_keys(model, changing) if with_keys else []
    judged = {}
    for place, record_id, _, changes, faults, _, old, new, keys in fetch(sql, target, verb, rows, actor, now):
        before, after = _document(old, names), _document(new, names)
        if before and after:
            differing = [name for name, value in after.items() if before[name] != value]
            before = {name: before[name] for name in differing}
            after = {name: after[name] for name in differing}
        held = {
            f"{key.name} {value}": key.fault
            for key, value in zip(unique, keys or (), strict=False)
            if value is not None
        }
        effect: Effect = "refused" if faults else verb if changes else "unchanged"
        judged[place] = Judged(record_id, effect, read_faults(faults or []), before, after, held)
    return judged


def _document(text: str | None, names: Mapping[str, str]) -> dict[str, Any]:
    if text is None:
        return {}
    return {names[column]: value for column, value in json.loads(text, parse_float=Decimal).items()}
