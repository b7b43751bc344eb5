"""Who sees and writes the records of territories: a table of the flags, and random worlds against a plain evaluator."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from core.access import view
from core.changes import Rows
from core.identity import queries
from core.identity.models import Membership, Person, Role, User
from core.identity.operations.members import create_members
from core.identity.operations.sessions import open_session
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from crm.models import Account
from territories.models import Territory, TerritoryMember
from territories.operations import MEMBERS, create_territories
from tests.factories.crm import make_account
from tests.worlds import ApiClient, World

URL = "/api/v1/accounts/"
TODAY = timezone.now().date()


@dataclass
class Place:
    """A territory as the evaluator knows it."""

    id: UUID
    parent: int | None
    flags: frozenset[str]
    is_active: bool
    manager: UUID | None
    # user -> (role, is in effect)
    members: dict[UUID, tuple[str, bool]] = field(default_factory=dict)


class Evaluator:
    """What the rules of sharing mean, as loops over everything."""

    def __init__(self, places: list[Place]) -> None:
        self.places = places

    def works_in(self, user: UUID, place: int, roles: tuple[str, ...]) -> bool:
        here = self.places[place]
        if not here.is_active:
            return False
        if here.manager == user:
            return True
        role, in_effect = here.members.get(user, ("", False))
        return in_effect and role in roles

    def above(self, place: int) -> list[int]:
        found = []
        at = self.places[place].parent
        while at is not None:
            found.append(at)
            at = self.places[at].parent
        return found

    def may(self, user: UUID, scope: str, owner: UUID | None, place: int | None, verb: str) -> bool:
        if owner == user:
            return True
        if place is None:
            return False
        roles = ("owner", "member", "viewer") if verb == "read" else ("owner", "member")
        if self.works_in(user, place, roles):
            return True
        if scope == "territory" and any(self.works_in(user, at, roles) for at in self.above(place)):
            return True
        here = self.places[place]
        if verb != "read" or not here.is_active:
            return False
        for at in range(len(self.places)):
            if not self.works_in(user, at, roles):
                continue
            if "share_with_parent" in here.flags and here.parent == at:
                return True
            if "share_with_children" in here.flags and self.places[at].parent == place:
                return True
            if "recursive_sharing" in here.flags and place in self.above(at):
                return True
        return False


FLAGS = ("share_with_parent", "share_with_children", "recursive_sharing")
# Where the person works relative to the record's territory, and the flags that let them read.
READERS = {
    "there": {(), *((flag,) for flag in FLAGS)},
    "right above": {("share_with_parent",)},
    "far above": set(),
    "right below": {("share_with_children",), ("recursive_sharing",)},
    "far below": {("recursive_sharing",)},
    "beside": set(),
}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "flags", [(), *((flag,) for flag in FLAGS)], ids=lambda flags: flags[0] if flags else "none"
)
def test_flags_open_what_they_say(acme: World, make_territory: Any, flags: tuple[str, ...]) -> None:
    """For each place a person may work at, and each part they may have there."""
    top = make_territory("Top")
    upper = make_territory("Upper", top)
    here = make_territory("Here", upper, **dict.fromkeys(flags, True))
    lower = make_territory("Lower", here)
    places = {
        "there": here,
        "right above": upper,
        "far above": top,
        "right below": lower,
        "far below": make_territory("Lowest", lower),
        "beside": make_territory("Beside", upper),
    }
    person, admin, sales = str(acme.users["sales"]), acme.client(), acme.client("sales")
    record_id = admin.post(
        URL, {"name": "Northwind", "territory": here["id"], "owner": str(acme.users["admin"])}
    ).json()["id"]
    for where, place in places.items():
        one = f"/api/v1/territories/{place['id']}/"
        for role in ("owner", "member", "viewer", "manager"):
            if role == "manager":
                admin.patch(one, {"manager": person})
            else:
                member = admin.post(f"{one}members/", {"user": person, "role": role}).json()
            reads, writes = flags in READERS[where], where == "there" and role != "viewer"
            case = (where, role)
            assert sales.get(f"{URL}{record_id}/").status_code == (200 if reads else 404), case
            assert [row["id"] for row in sales.get(URL).json()["results"]] == (
                [record_id] if reads else []
            ), case
            assert len(sales.get(f"{URL}?search=northwind").json()["results"]) == int(reads), case
            changed = sales.patch(f"{URL}{record_id}/", {"industry": f"{where} {role}"})
            assert changed.status_code == (200 if writes else 403 if reads else 404), case
            if role == "manager":
                admin.patch(one, {"manager": None})
            else:
                admin.delete(f"{one}members/{member['id']}/")


@pytest.mark.django_db
class TestMembership:
    def test_acts_at_once_and_within_its_dates(self, acme: World, make_territory: Any) -> None:
        here = make_territory("Here")
        record = acme.client().post(
            URL, {"name": "Northwind", "territory": here["id"], "owner": str(acme.users["admin"])}
        )
        one = f"{URL}{record.json()['id']}/"
        sales, members = acme.client("sales"), f"/api/v1/territories/{here['id']}/members/"
        assert sales.get(one).status_code == 404
        added = acme.client().post(members, {"user": str(acme.users["sales"])}).json()
        assert sales.get(one).status_code == 200
        for dates, expected in (
            ({"effective_to": str(TODAY - timedelta(days=2))}, 404),
            ({"effective_to": str(TODAY + timedelta(days=2))}, 200),
            ({"effective_from": str(TODAY + timedelta(days=2))}, 404),
            ({"effective_from": str(TODAY - timedelta(days=2))}, 200),
        ):
            assert acme.client().patch(f"{members}{added['id']}/", dates).status_code == 200, dates
            assert sales.get(one).status_code == expected, dates
        acme.client().patch(f"/api/v1/territories/{here['id']}/", {"is_active": False})
        assert sales.get(one).status_code == 404
        acme.client().patch(f"/api/v1/territories/{here['id']}/", {"is_active": True})
        assert acme.client().delete(f"{members}{added['id']}/").status_code == 204
        assert sales.get(one).status_code == 404

    def test_ends_at_the_border_of_the_company(self, acme: World, globex: World, make_territory: Any) -> None:
        here = make_territory("Here")
        refused = acme.client().post(
            f"/api/v1/territories/{here['id']}/members/", {"user": str(globex.users["sales"])}
        )
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "does_not_exist")


def _people(world: World, scopes: list[str]) -> list[UUID]:
    """Members with roles of these scopes."""
    ids = []
    with world.acting() as actor:
        for place, scope in enumerate(scopes):
            role = Role.objects.create(
                company_id=actor.company_id,
                name=f"{scope} {place}",
                permissions=["read", "update"],
                record_scope=scope,
            )
            row = {"email": f"p{place}@{world.company.slug}.test", "role": role.pk}
            made = create_members(
                actor=actor,
                rows=Rows.of(Person, [row]),
                passwords={0: "a quiet harbor at dawn"},
                now=timezone.now(),
            )
            ids.append(made.one)
        assert Membership.objects.filter(user__in=ids).count() == len(ids)
    return ids


def _world(
    world: World, chance: random.Random, people: list[UUID], size: int, records: int
) -> tuple[Any, Any]:
    """Random territories, members and records; the evaluator and `(id, owner, place)` of each record."""
    places: list[Place] = []
    now = timezone.now()
    with world.acting() as actor:
        for number in range(size):
            parent = chance.randrange(number) if number and chance.random() < 0.85 else None
            flags = frozenset(flag for flag in FLAGS if chance.random() < 0.35)
            manager = chance.choice(people) if chance.random() < 0.15 else None
            active = chance.random() < 0.85
            row: dict[str, Any] = {
                "name": f"T{number}",
                "code": f"T{number}",
                "is_active": active,
                "manager": manager,
            }
            row |= {flag: flag in flags for flag in FLAGS}
            row["parent_territory"] = places[parent].id if parent is not None else None
            made = create_territories(actor=actor, rows=Rows.of(Territory, [row]), now=now)
            places.append(Place(made.one, parent, flags, active, manager))
            for user in people:
                if chance.random() < 0.12:
                    role = chance.choice(["owner", "member", "viewer"])
                    ends: date | None = chance.choice([None, None, TODAY, TODAY - timedelta(days=3)])
                    member = {"territory": made.one, "user": user, "role": role, "effective_to": ends}
                    MEMBERS.create(
                        actor=actor, rows=Rows.of(TerritoryMember, [member]), now=now
                    ).raise_if_refused()
                    places[-1].members[user] = (role, ends is None or ends >= TODAY)
        made_records = []
        for _ in range(records):
            place = chance.randrange(size) if chance.random() < 0.85 else None
            owner = chance.choice(people) if chance.random() < 0.3 else world.users["admin"]
            territory = places[place].id if place is not None else None
            record = make_account(actor, name="Northwind", owner=owner, territory=territory)
            made_records.append((record.pk, owner, place))
    return Evaluator(places), made_records


@pytest.mark.django_db
@pytest.mark.parametrize(
    "seed", [1, 2, 3, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(4, 14))]
)
def test_random_worlds_agree_with_the_evaluator(acme: World, seed: int) -> None:
    """Some 800 questions each, of queries, lists, counts, searches, single records and bulk requests."""
    chance = random.Random(seed)
    scopes = ["own", "own", "own", "territory", "territory", "team"]
    people = _people(acme, scopes)
    evaluator, records = _world(acme, chance, people, size=18, records=60)
    for user, scope in zip(people, scopes, strict=True):
        expected = {
            verb: {pk for pk, owner, place in records if evaluator.may(user, scope, owner, place, verb)}
            for verb in ("read", "update")
        }
        actor = queries.list_actors_of_user(user)["acme"]
        with acme.acting():
            for verb, ids in expected.items():
                assert set(view("account", actor).records(verb).values_list("pk", flat=True)) == ids, (
                    scope,
                    verb,
                )
        with system_context("a session"), unit_of_work():
            token = open_session(User.objects.get(pk=user), now=timezone.now(), company_slug="acme").access
        client = ApiClient(token)
        listed = client.get(f"{URL}?page_size=500").json()
        assert listed["count"] == len(expected["read"])
        assert {UUID(row["id"]) for row in listed["results"]} == expected["read"]
        searched = client.get(f"{URL}?search=northwind&page_size=500").json()["results"]
        assert {UUID(row["id"]) for row in searched} == expected["read"]
        for pk, _, _ in chance.sample(records, 6):
            assert (client.get(f"{URL}{pk}/").status_code == 200) == (pk in expected["read"])
        operations = [{"op": "update", "id": str(pk), "industry": f"i{seed}"} for pk, _, _ in records]
        results = client.post(f"{URL}bulk/", {"operations": operations}).json()["results"]
        assert {UUID(row["id"]) for row in results if row["status"] == 200} == expected["update"]
        assert {row["status"] for row in results} <= {200, 403, 404}
    with acme.acting():
        assert Account.objects.count() == len(records)
