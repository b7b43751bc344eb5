"""Reassignment: all records of a company by the rules of today, previewed and then carried out as a job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from core.access import view
from core.entities import Entity, entities
from core.jobs import JobRun
from core.jobs.operations import enqueue
from core.tenancy.actors import Actor
from territories.matching import Match, Ordered, match_records, ordered_rules
from territories.models import AssignmentReason, Territory
from territories.operations.assignment import carry_out

REASSIGN = "territories.reassign"
BATCH = 2_000
SAMPLE = 20


@dataclass(frozen=True)
class Move:
    """How many records of a kind would go from one territory to another, by one rule."""

    entity_type: str
    from_territory: UUID | None
    to_territory: UUID
    rule: UUID
    count: int


@dataclass(frozen=True)
class Preview:
    """What a reassignment would do. `unmatched` records meet no rule, and stay."""

    moves: list[Move]
    sample: list[tuple[str, Match]]
    moved: int
    unchanged: int
    unmatched: int
    broken_rules: list[UUID]


def preview(actor: Actor, kinds: Sequence[str], within: UUID | None, *, now: datetime) -> Preview:
    """Which records would move, without writing. Two statements for each kind of records and two thousand of them."""
    counted: Counter[tuple[str, UUID | None, UUID, UUID]] = Counter()
    sample: list[tuple[str, Match]] = []
    unchanged = unmatched = 0
    broken: list[UUID] = []
    for kind in kinds:
        entity = entities[kind]
        ordered = ordered_rules(entity, now)
        broken += [rule.pk for rule in ordered.broken]
        for matches in _in_batches(actor, entity, ordered, within, now):
            for match in matches:
                if match.rule_id is None or match.target_id is None:
                    unmatched += 1
                elif not match.moves:
                    unchanged += 1
                else:
                    counted[kind, match.territory_id, match.target_id, match.rule_id] += 1
                    if len(sample) < SAMPLE:
                        sample.append((kind, match))
    moves = [Move(*key, count) for key, count in sorted(counted.items(), key=lambda item: -item[1])]
    return Preview(moves, sample, counted.total(), unchanged, unmatched, broken)


def start(kinds: Sequence[str], within: UUID | None, actor: Actor, *, now: datetime) -> UUID:
    """Enqueue the reassignment in the name of the actor; the job's id. Needs a transaction."""
    payload = {
        "entity_types": list(kinds),
        "territory": str(within) if within else None,
        "user": str(actor.user_id),
        # A key's work reaches no further than the key itself.
        "api_key": str(actor.api_key_id) if actor.api_key_id else None,
    }
    return enqueue(kind=REASSIGN, payload=payload, now=now, subject=", ".join(kinds))


def work(run: JobRun, actor: Actor, *, now: datetime) -> dict[str, Any]:
    """Carry the reassignment out, batch by batch, each in a transaction of its own. A batch done twice moves nothing."""
    payload = run.payload
    within = UUID(payload["territory"]) if payload["territory"] else None
    moved = refused = done = 0
    total = _count(actor, payload["entity_types"], within, run)
    for kind in payload["entity_types"]:
        entity = entities[kind]
        last: UUID | None = None
        while True:
            with run.transaction():
                ordered = ordered_rules(entity, now)
                batch = _batch(actor, entity, within, last)
                found = _match(entity, ordered, now, batch)
                result = carry_out(
                    actor, entity, ordered, [m for m in found if m.moves], now, AssignmentReason.REASSIGNMENT
                )
            moved, refused, done = moved + result.moved, refused + result.refused, done + len(batch)
            run.progress(done, total, kind)
            if len(batch) < BATCH:
                break
            last = batch[-1]
    return {"moved": moved, "refused": refused, "asked": done}


def _count(actor: Actor, kinds: Sequence[str], within: UUID | None, run: JobRun) -> int:
    with run.transaction():
        return sum(_asked(actor, entities[kind], within).count() for kind in kinds)


def _in_batches(
    actor: Actor, entity: Entity, ordered: Ordered, within: UUID | None, now: datetime
) -> Iterator[list[Match]]:
    last: UUID | None = None
    while True:
        batch = _batch(actor, entity, within, last)
        yield _match(entity, ordered, now, batch)
        if len(batch) < BATCH:
            return
        last = batch[-1]


def _asked(actor: Actor, entity: Entity, within: UUID | None) -> Any:
    """The records that may move: those that the actor may change, that are not pinned."""
    found = view(entity, actor).records("update").filter(territory_pinned=False)
    if within is not None:
        below = Territory.objects.get(pk=within).get_all_children(include_self=True)
        found = found.filter(territory__in=below.order_by().values("pk"))
    return found


def _batch(actor: Actor, entity: Entity, within: UUID | None, last: UUID | None) -> list[UUID]:
    found = _asked(actor, entity, within)
    if last is not None:
        found = found.filter(pk__gt=last)
    return list(found.order_by("pk").values_list("pk", flat=True)[:BATCH])


def _match(entity: Entity, ordered: Ordered, now: datetime, batch: Sequence[UUID]) -> list[Match]:
    records = entity.model._default_manager.filter(pk__in=batch)
    if not ordered:
        return [
            Match(pk, territory_id, owner_id, None, None)
            for pk, territory_id, owner_id in records.values_list("pk", "territory_id", "owner_id")
        ]
    return match_records(entity, ordered, now, records)
