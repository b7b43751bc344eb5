"""Two years of a company's life, told in the order in which it happened.

Each of the people who sell sits down every other week and does what has come up: new records, leads and deals that move
on, tasks that are done. All of it goes through the CRM's operations with the time of that moment, so that dates, stage
history and derived values are those of a company that has worked for two years. Every sitting is one transaction with
a handful of statements, whatever the scale; one that was interrupted is taken up again. Nobody touches what is another's,
so that several people's histories can be told at the same time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, Protocol

from django.db import connection
from django.db.models import Max

from core.changes import Outcome, Rows
from core.kernel.errors import Conflict
from core.kernel.transactions import retried
from core.tenancy.actors import Actor
from core.tenancy.context import actor_context
from core.tenancy.postgresql.base import database
from crm import operations
from crm.demo import progress, records
from crm.demo.founding import Demo, find_demo, found
from crm.demo.records import Relation
from crm.models import Activity

DAYS = 730
_SITTINGS = 364
# Roughly what one of them writes of a kind, at the smaller scales.
_FEW = 10
# How many there are at the end at scale 1, and the shape of their growth: below 1 most come early.
_GROWTH: dict[str, tuple[int, float]] = {
    "accounts": (90, 0.6),
    "contacts": (860, 0.8),
    "leads": (1_200, 1.1),
    "deals": (450, 1.0),
    "activities": (5_000, 1.1),
    "tasks": (900, 1.1),
    "notes": (500, 1.0),
}


class Create(Protocol):
    def __call__(self, *, actor: Actor, rows: Rows, now: datetime) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class Seeded:
    """What was done: whether the company is new, and how many sittings were missing."""

    is_new: bool
    sittings: int


@dataclass(frozen=True, slots=True)
class _Sitting:
    place: int
    seller: int
    since: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class _Teller:
    """One sitting, being told."""

    sitting: _Sitting
    actor: Actor
    until: datetime
    scale: int
    seed: int

    @property
    def is_small(self) -> bool:
        """Whether planning a statement takes longer than running it, so that one plan should serve all sittings."""
        return self.scale < 10

    def here(self, first: int = 0, last: int = 0) -> tuple[Any, ...]:
        """The parameters of `HERE`."""
        sitting, actor = self.sitting, self.actor
        return (
            self.seed,
            actor.company_id,
            actor.user_id,
            sitting.since,
            sitting.at,
            self.until,
            first,
            last,
        )

    def write(self, operation: Create, relation: Relation, params: tuple[Any, ...]) -> None:
        rows = Rows.select(relation.sql, params, relation.columns, _FEW if self.is_small else None)
        operation(actor=self.actor, rows=rows, now=self.sitting.at).raise_if_refused()

    def create(self, kind: str, operation: Create, relation: Relation) -> bool:
        """The rows of this kind whose time has come. Returns whether there were any."""
        first, last = (_count(kind, self.sitting.place + later, self.scale) for later in (0, 1))
        if first == last:
            return False
        self.write(operation, relation, self.here(first + 1, last))
        return True


def seed_demo(
    *,
    slug: str,
    password: str,
    now: datetime,
    scale: int = 1,
    seed: int = 1,
    at_once: int = 1,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Seeded:
    """Make the demo company, or what is missing of one that was begun. Commits by itself, sitting by sitting.

    With `at_once` above 1 so many threads work, each in a connection of its own. `report` is told how many sittings of
    how many are done. Raises: Conflict when the slug is another company's.
    """
    demo = find_demo(slug)
    is_new = demo is None
    if demo is None:
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        found(slug, password, midnight - timedelta(days=DAYS), midnight)
        demo = find_demo(slug)
    if demo is None or not demo.sellers:
        raise Conflict(f"The company {slug} exists already and is no demo.")
    until = demo.company.created_at + timedelta(days=DAYS)
    missing = _missing(demo, seed)
    done: list[_Sitting] = []

    def tell(sitting: _Sitting) -> None:
        report(len(done), len(missing))
        actor = demo.sellers[sitting.seller]
        with actor_context(actor, source="command"):
            retried(lambda: _tell(_Teller(sitting, actor, until, scale, seed)))
        done.append(sitting)

    if at_once == 1:
        for sitting in missing:
            tell(sitting)
    else:
        _side_by_side(missing, tell, at_once)
    report(len(missing), len(missing))
    return Seeded(is_new, len(missing))


def _side_by_side(sittings: Sequence[_Sitting], tell: Callable[[_Sitting], None], at_once: int) -> None:
    """Each person's sittings in their order, several people's at the same time. The first failure ends them all."""
    ended = Event()

    def tell_some(lane: int) -> None:
        try:
            for sitting in sittings:
                if sitting.seller % at_once == lane and not ended.is_set():
                    tell(sitting)
        finally:
            connection.close()

    with ThreadPoolExecutor(at_once) as pool:
        try:
            finished, _ = wait(
                [pool.submit(tell_some, lane) for lane in range(at_once)], return_when=FIRST_EXCEPTION
            )
        finally:
            ended.set()
        for future in finished:
            future.result()


def _missing(demo: Demo, seed: int) -> list[_Sitting]:
    """The sittings that have not happened yet: each leaves an activity of who worked."""
    with actor_context(demo.sellers[0], source="command"):
        latest = retried(
            lambda: dict(Activity.objects.order_by().values_list("created_by").annotate(Max("created_at")))
        )
    return [
        sitting
        for sitting in _sittings(demo.company.created_at, len(demo.sellers), seed)
        if (last := latest.get(demo.sellers[sitting.seller].user_id)) is None or sitting.at > last
    ]


def _sittings(start: datetime, sellers: int, seed: int) -> list[_Sitting]:
    """When who works: in turns, on working days in working hours."""
    chance = random.Random(seed)  # noqa: S311 - a story, not a secret
    sittings: list[_Sitting] = []
    last_of: dict[int, datetime] = {}
    moments = sorted(_moment(start, place, chance) for place in range(_SITTINGS))
    turn: list[int] = []
    for place, at in enumerate(moments):
        turn = turn or chance.sample(range(sellers), sellers)
        seller = turn.pop()
        sittings.append(_Sitting(place, seller, last_of.get(seller, at - timedelta(days=7)), at))
        last_of[seller] = at
    return sittings


def _moment(start: datetime, place: int, chance: random.Random) -> datetime:
    day = start + timedelta(days=(place + 1) * DAYS // _SITTINGS - 1)
    if day.weekday() > 4:
        day -= timedelta(days=day.weekday() - 4)
    return day + timedelta(hours=chance.randint(8, 16), seconds=chance.randrange(3600))


def _count(kind: str, sittings: int, scale: int) -> int:
    """How many of a kind there are after so many sittings."""
    total, shape = _GROWTH[kind]
    return round(total * scale * (sittings / _SITTINGS) ** shape)


def _tell(teller: _Teller) -> None:
    """What happens in one sitting, in the order in which one thing needs another."""
    if teller.is_small:
        database().fetch_prepared("SELECT set_config('plan_cache_mode', 'force_generic_plan', true)", ())
    here = teller.here()
    teller.write(operations.update_leads, progress.LEADS, here)
    _convert(teller)
    teller.write(operations.update_deals, progress.DEALS, here)
    teller.write(operations.update_tasks, progress.TASKS, here)
    teller.create("accounts", operations.create_accounts, records.ACCOUNTS)
    teller.create("contacts", operations.create_contacts, records.CONTACTS)
    teller.create("leads", operations.create_leads, records.LEADS)
    if teller.create("deals", operations.create_deals, records.DEALS):
        teller.write(operations.create_deal_products, records.DEAL_PRODUCTS, here)
    teller.create("activities", operations.create_activities, records.ACTIVITIES)
    teller.create("tasks", operations.create_tasks, records.TASKS)
    teller.create("notes", operations.create_notes, records.NOTES)


def _convert(teller: _Teller) -> None:
    """Qualified leads become accounts, contacts and deals: a set of them at once."""
    converting = database().fetch_prepared(progress.CONVERTING, teller.here())
    if not converting:
        return
    params = tuple(list(ids) for ids in zip(*converting, strict=True))
    teller.write(operations.create_accounts, progress.CONVERTED_ACCOUNTS, params)
    teller.write(operations.create_contacts, progress.CONVERTED_CONTACTS, params)
    teller.write(operations.create_deals, progress.CONVERTED_DEALS, params)
    teller.write(operations.record_conversions, progress.CONVERTED_LEADS, (teller.sitting.at, *params))
