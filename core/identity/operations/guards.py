"""What every change of members, roles and keys begins with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, models
from django.db.models import F

from core.changes import Outcome, Rows
from core.changes.rows import EXPECTED_VERSION
from core.identity.models import Company
from core.identity.rights import MANAGE_USERS
from core.kernel.errors import Fault, Forbidden
from core.kernel.transactions import needs_transaction
from core.tenancy.actors import Actor


def require_manager(actor: Actor) -> None:
    """Raises: Forbidden."""
    if not actor.rights.can(MANAGE_USERS):
        raise Forbidden("Only who may manage users may do this.")


def begin_change_of_rights(actor: Actor) -> None:
    """Whoever changes rights in this company takes turns from here on, and cached rights are outdated.

    Needs a transaction. Raises: Forbidden.
    """
    needs_transaction()
    require_manager(actor)
    Company.objects.filter(pk=actor.company_id).update(rights_version=F("rights_version") + 1)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One row of a `Rows`, read: what it sets, by column."""

    ord: int
    id: UUID
    expected_version: int | None
    values: dict[str, Any]


def read_rows(rows: Rows) -> list[Candidate]:
    """The rows themselves. People, roles and keys are few, so that their rules may be plain Python."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT r.* FROM ({rows.sql}) r ORDER BY r.ord", rows.params)
        names = [column.name for column in cursor.description]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    candidates = []
    for row in found:
        given = set(rows.columns)
        if rows.sparse:
            given &= set(json.loads(row["doc"]))
        values = {name: row[name] for name in rows.columns if name in given}
        candidates.append(Candidate(row["ord"], row["id"], row.get(EXPECTED_VERSION), values))
    return candidates


def rows_of(model: type[models.Model], candidates: list[Candidate]) -> Rows:
    """The candidates as rows of `model`, whose columns they name."""
    names = {column.column: column.name for column in model._meta.concrete_fields}
    return Rows.of(
        model,
        [
            {
                "id": item.id,
                **({EXPECTED_VERSION: item.expected_version} if item.expected_version is not None else {}),
                **{names[column]: value for column, value in item.values.items()},
            }
            for item in candidates
        ],
    )


class Verdicts:
    """Faults by row, and what is left to write."""

    def __init__(self, candidates: list[Candidate], all_or_none: bool) -> None:
        self._candidates = candidates
        self._all_or_none = all_or_none
        self.faults: dict[int, list[Fault]] = {}

    def refuse(self, candidate: Candidate, path: str, code: str, detail: str) -> None:
        self.faults.setdefault(candidate.ord, []).append(Fault(path, code, detail))

    def is_refused(self, candidate: Candidate) -> bool:
        return candidate.ord in self.faults

    @property
    def accepted(self) -> list[Candidate]:
        if self._all_or_none and self.faults:
            return []
        return [item for item in self._candidates if item.ord not in self.faults]

    def outcome(
        self, written: Outcome, accepted: list[Candidate], ids: dict[int, UUID] | None = None
    ) -> Outcome:
        """The outcome of writing `accepted`, told by the places and ids the caller knows."""
        places = {place: item.ord for place, item in enumerate(accepted)}
        refused = {ord_: tuple(faults) for ord_, faults in self.faults.items()}
        refused |= {places[place]: faults for place, faults in written.refused.items()}
        if self._all_or_none and refused:
            return Outcome({}, {}, refused)
        return Outcome(
            {places[place]: (ids or {}).get(places[place], record) for place, record in written.ids.items()},
            {places[place]: version for place, version in written.versions.items()},
            refused,
            frozenset(places[place] for place in written.unchanged),
        )
