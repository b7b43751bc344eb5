"""The one door for writes below HTTP: the right, the visible records, the input, then the entity's operation.

The API, the back office, workflows and plugins write through it, so that none of them can forget a step. It needs a
transaction and never ends it. Actions beyond plain writes go through `core.access.actions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from core.access.view import EntityView
from core.changes import Outcome, Rows
from core.changes.rows import EXPECTED_VERSION
from core.kernel.errors import Fault, Invalid, NotFound

# How many records one request may write.
MAX_ROWS = 1_000
# The right that each write needs. Restoring undoes a deletion, so it takes the same right.
RIGHTS: Mapping[str, str] = {
    "create": "create",
    "update": "update",
    "delete": "delete",
    "restore": "delete",
}
_UNSEEN = (Fault("id", "not_found", f"{NotFound.title}."),)


def write(
    view: EntityView,
    verb: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    now: datetime,
    all_or_none: bool = True,
    among: QuerySet[Any] | None = None,
) -> Outcome:
    """Create, update, delete or restore (`verb`) records through the entity's operation.

    `rows` hold values as `view.read_input` answers them, and the record's `id` unless they create. A row whose record the
    actor does not see, or that is not in `among`, is refused as `not_found`, one that is seen and not open for the right as
    `forbidden`. With `all_or_none`, one refused
    row keeps all from being written. Raises: Forbidden.
    """
    view.require(RIGHTS[verb])
    refused = {} if verb == "create" else _unseen(view, verb, rows, among)
    if verb in ("create", "update"):
        refused |= _misfits(view, {place: row for place, row in enumerate(rows) if place not in refused})
    if refused and (all_or_none or len(refused) == len(rows)):
        return Outcome({}, {}, refused)
    places = [place for place in range(len(rows)) if place not in refused]
    candidates = Rows.of(view.entity.model, [dict(rows[place]) for place in places])
    outcome = run_operation(view, verb, candidates, now=now, all_or_none=all_or_none)
    return _placed(outcome, places, refused) if refused else outcome


def run_operation(
    view: EntityView, verb: str, rows: Rows, *, now: datetime, all_or_none: bool = True
) -> Outcome:
    """Candidate rows through the entity's operation, for callers that have chosen visible records themselves, such as an
    import whose rows are staged in the database."""
    operation = getattr(view.entity.writes, verb)
    if operation is None:
        raise NotImplementedError(f"{view.entity.name} has no operation {verb}")
    outcome: Outcome = operation(actor=view.actor, rows=rows, now=now, all_or_none=all_or_none)
    outcome.refused = {place: view.shown_faults(faults) for place, faults in outcome.refused.items()}
    return outcome


def create_record(view: EntityView, document: Any, *, now: datetime) -> UUID:
    """Create one record from a client's document; its id.

    Raises: Forbidden, Invalid with every fault, and what the operation refuses.
    """
    view.require("create")
    values = view.read_input(document, partial=False)
    return write(view, "create", [values], now=now).one


def change_record(
    view: EntityView,
    record_id: UUID | str,
    document: Any,
    *,
    now: datetime,
    expected_version: int | None = None,
) -> UUID:
    """Set the fields that a client's document names; the record's id.

    `expected_version` is the version demanded beside the document, which may itself name one. Raises: Forbidden, Invalid
    with every fault, NotFound, Stale, and what the operation refuses.
    """
    view.require("update")
    values = view.read_input(document, partial=True, operation="update")
    return write_one(view, "update", record_id, values, now=now, expected_version=expected_version)


def write_one(
    view: EntityView,
    verb: str,
    record_id: UUID | str,
    values: Mapping[str, Any] | None = None,
    *,
    now: datetime,
    expected_version: int | None = None,
    among: QuerySet[Any] | None = None,
) -> UUID:
    """Update, delete or restore one record; its id.

    Raises: Forbidden, NotFound, Stale, and what the operation refuses.
    """
    try:
        key = record_id if isinstance(record_id, UUID) else UUID(record_id)
    except ValueError:
        raise NotFound() from None
    row = {**(values or {}), "id": key}
    version = agreed_version(expected_version, row.pop(EXPECTED_VERSION, None))
    if version is not None:
        row[EXPECTED_VERSION] = version
    outcome = write(view, verb, [row], now=now, among=among)
    if outcome.refused.get(0) == _UNSEEN:
        raise NotFound()
    if any(fault.code == "forbidden" for fault in outcome.refused.get(0, ())):
        raise view.not_open(RIGHTS[verb])
    outcome.raise_if_refused()
    return key


def agreed_version(demanded: int | None, named: int | None) -> int | None:
    """The version that a request expects, by its If-Match or its document.

    Raises: Invalid where the two differ.
    """
    if demanded is not None and named is not None and demanded != named:
        raise Invalid("If-Match and the body's version differ.", code="bad_if_match")
    return named if demanded is None else demanded


def _unseen(
    view: EntityView, verb: str, rows: Sequence[Mapping[str, Any]], among: QuerySet[Any] | None
) -> dict[int, tuple[Fault, ...]]:
    if among is None:
        among = view.bin() if verb == "restore" else view.records()
    right = RIGHTS[verb]
    open_for = view.open_for([row["id"] for row in rows], (right,), among)
    refused: dict[int, tuple[Fault, ...]] = {}
    for place, row in enumerate(rows):
        if row["id"] not in open_for:
            refused[place] = _UNSEEN
        elif right not in open_for[row["id"]]:
            refused[place] = (Fault("id", "forbidden", view.not_open(right).detail),)
    return refused


def _misfits(view: EntityView, rows: Mapping[int, Mapping[str, Any]]) -> dict[int, tuple[Fault, ...]]:
    """Rows with content that the entity's own check refuses."""
    check = view.entity.writes.check
    refused: dict[int, tuple[Fault, ...]] = {}
    if check is None:
        return refused
    for place, row in rows.items():
        try:
            check(row)
        except Invalid as refusal:
            refused[place] = refusal.faults
    return refused


def _placed(outcome: Outcome, places: Sequence[int], refused: Mapping[int, tuple[Fault, ...]]) -> Outcome:
    """The outcome of the rows at `places`, as that of all."""
    return Outcome(
        {places[place]: record_id for place, record_id in outcome.ids.items()},
        {places[place]: version for place, version in outcome.versions.items()},
        {**refused, **{places[place]: faults for place, faults in outcome.refused.items()}},
        frozenset(places[place] for place in outcome.unchanged),
    )
