"""Records go where the rules say: at creation, when they change, and in bulk when somebody asks for it."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.postgres.functions import TransactionNow
from django.db.models import Count, F, Q

from core.changes import Outcome, Rows
from core.entities import Entity, entities
from core.identity.models import Membership
from core.tenancy.actors import Actor
from territories.matching import Match, Ordered, match_records, ordered_rules
from territories.models import AssignmentReason, MemberRole, OwnerChoice, TerritoryAssignment, TerritoryMember
from territories.queries import in_effect

# What a record has to be to count as somebody's load, where its kind has such states.
_OPEN: dict[str, Q] = {
    "deal": Q(status="open"),
    "lead": ~Q(status__in=["converted", "unqualified"]),
}


@dataclass
class Assigned:
    """What came of it: how many records moved, by rule, and how many could not be changed."""

    moved: int = 0
    refused: int = 0
    by_rule: Counter[UUID] = field(default_factory=Counter)


def assign_by_rules(
    *,
    actor: Actor,
    entity_name: str,
    record_ids: Sequence[UUID],
    now: datetime,
    reason: str = AssignmentReason.RULE,
) -> Assigned:
    """Put records where the first rule that fits says. Pinned ones and those that no rule fits stay as they are.

    Needs a transaction. A constant number of statements for any number of records of one kind; members that are chosen in
    turn are locked until the transaction ends.
    """
    entity = entities[entity_name]
    ordered = ordered_rules(entity, now)
    if not ordered:
        return Assigned()
    found = match_records(entity, ordered, now, entity.model._default_manager.filter(pk__in=list(record_ids)))
    return carry_out(actor, entity, ordered, [match for match in found if match.moves], now, reason)


def carry_out(
    actor: Actor, entity: Entity, ordered: Ordered, moves: Sequence[Match], now: datetime, reason: str
) -> Assigned:
    """Write the moves, their owners and their history. Needs a transaction."""
    if not moves:
        return Assigned()
    owners = _owners(entity, ordered, moves, now)
    rows = []
    for match in moves:
        assert match.rule_id is not None  # noqa: S101 - a move has a rule
        row: dict[str, Any] = {
            "id": match.record_id,
            "territory": ordered.rules[match.rule_id].territory_id,
            "territory_pinned": False,
        }
        if match.record_id in owners:
            row["owner"] = owners[match.record_id]
        rows.append(row)
    operation: Callable[..., Outcome] = entity.writes.update  # type: ignore[assignment]
    outcome = operation(actor=actor, rows=Rows.of(entity.model, rows), now=now, all_or_none=False)
    history, result = [], Assigned(refused=len(outcome.refused))
    for place, match in enumerate(moves):
        if place not in outcome.ids:
            continue
        assert match.rule_id is not None  # noqa: S101 - a move has a rule
        result.moved += 1
        result.by_rule[match.rule_id] += 1
        history.append(
            TerritoryAssignment(
                company_id=actor.company_id,
                created_by_id=actor.user_id,
                # The time of the record's entry in the log, by which `note_moves_by_hand` knows it again.
                created_at=TransactionNow(),
                entity_type=entity.name,
                record_id=match.record_id,
                territory_id=ordered.rules[match.rule_id].territory_id,
                previous_territory_id=match.territory_id,
                rule_id=match.rule_id,
                owner_id=owners.get(match.record_id, match.owner_id),
                reason=reason,
            )
        )
    TerritoryAssignment.objects.bulk_create(history, batch_size=1_000)
    return result


def note_moves_by_hand(
    company_id: UUID, moves: Iterable[tuple[str, UUID, UUID | None, UUID | None, Any]]
) -> None:
    """Keep in the history what others than the rules moved: `(kind, record, from, to, change)` of each.

    A move that the history has from the same transaction is in it already.
    """
    listed = list(moves)
    known = set(
        TerritoryAssignment.objects.filter(
            record_id__in={record_id for _, record_id, *_ in listed}
        ).values_list("record_id", "created_at")
    )
    TerritoryAssignment.objects.bulk_create(
        TerritoryAssignment(
            company_id=company_id,
            created_by_id=change.actor_id,
            created_at=change.at,
            entity_type=kind,
            record_id=record_id,
            territory_id=after,
            previous_territory_id=before,
            reason=AssignmentReason.MANUAL,
        )
        for kind, record_id, before, after, change in listed
        if (record_id, change.at) not in known
    )


def _owners(entity: Entity, ordered: Ordered, moves: Sequence[Match], now: datetime) -> dict[UUID, UUID]:
    """Who gets each record, where its rule chooses somebody and there is somebody to choose."""
    wanted: dict[tuple[UUID, str], list[UUID]] = defaultdict(list)
    found: dict[UUID, UUID] = {}
    for match in moves:
        assert match.rule_id is not None  # noqa: S101 - a move has a rule
        rule = ordered.rules[match.rule_id]
        if rule.owner_choice == OwnerChoice.MANAGER and rule.territory.manager_id:
            found[match.record_id] = rule.territory.manager_id
        elif rule.owner_choice in (OwnerChoice.ROUND_ROBIN, OwnerChoice.LEAST_LOADED):
            wanted[rule.territory_id, rule.owner_choice].append(match.record_id)
    if not wanted:
        return found
    members = defaultdict(list)
    today = now.date()
    working = TerritoryMember.objects.filter(
        in_effect(today),
        territory_id__in={territory_id for territory_id, _ in wanted},
        role__in=(MemberRole.OWNER, MemberRole.MEMBER),
        user__in=_active_people(),
    )
    for member in working.order_by("pk").select_for_update():
        members[member.territory_id].append(member)
    loads = _loads(entity, {member.user_id for group in members.values() for member in group})
    given: Counter[UUID] = Counter()
    for (territory_id, choice), records in wanted.items():
        by_load = choice == OwnerChoice.LEAST_LOADED
        heap = [
            (
                loads.get(member.user_id, 0) if by_load else member.assigned_count + given[member.pk],
                place,
                member,
            )
            for place, member in enumerate(members[territory_id])
        ]
        heapq.heapify(heap)
        for record_id in records if heap else ():
            count, place, member = heap[0]
            found[record_id] = member.user_id
            given[member.pk] += 1
            heapq.heapreplace(heap, (count + 1, place, member))
    for count in set(given.values()):
        chosen = [pk for pk, many in given.items() if many == count]
        TerritoryMember.objects.filter(pk__in=chosen).update(assigned_count=F("assigned_count") + count)
    return found


def _active_people() -> Any:
    return Membership.objects.filter(is_active=True).values("user_id")


def _loads(entity: Entity, people: Iterable[UUID]) -> dict[UUID, int]:
    records = entity.model._default_manager.filter(_OPEN.get(entity.name, Q()), deleted_at__isnull=True)
    counted = records.filter(owner_id__in=list(people)).values("owner_id").annotate(n=Count("pk")).order_by()
    return dict(counted.values_list("owner_id", "n"))
