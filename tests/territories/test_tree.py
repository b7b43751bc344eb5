"""The tree keeps its paths and levels, whoever writes."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.changes import Rows
from core.kernel.errors import DomainError
from core.kernel.ids import uuid7
from territories.models import Territory
from territories.operations import create_territories, update_territories
from tests.worlds import World

URL = "/api/v1/territories/"


def make(client: Any, name: str, parent: str | None = None, **fields: Any) -> dict[str, Any]:
    body = {"name": name, "code": name.upper().replace(" ", "_"), "parent_territory": parent, **fields}
    answer = client.post(URL, body)
    assert answer.status_code == 201, answer.content
    document: dict[str, Any] = answer.json()
    return document


def stale() -> list[tuple[str, str]]:
    """Territories whose path or level is not what a walk to the root gives."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE walk AS (
              SELECT id, slug, '/' || slug || '/' AS path, 0 AS level FROM territories_territory
              WHERE parent_territory_id IS NULL
              UNION ALL
              SELECT t.id, t.slug, walk.path || t.slug || '/', walk.level + 1
              FROM territories_territory t JOIN walk ON t.parent_territory_id = walk.id
            )
            SELECT t.name, t.hierarchy_path FROM territories_territory t LEFT JOIN walk ON walk.id = t.id
            WHERE walk.id IS NULL OR (walk.path, walk.level) <> (t.hierarchy_path, t.hierarchy_level)"""
        )
        return list(cursor.fetchall())


@pytest.mark.django_db
class TestPaths:
    def test_come_from_names_and_follow_a_move(self, acme: World) -> None:
        api = acme.client()
        america = make(api, "North America")
        west = make(api, "West", america["id"])
        california = make(api, "California", west["id"])
        assert (california["hierarchy_path"], california["hierarchy_level"]) == (
            "/north-america/west/california/",
            2,
        )
        root = make(api, "Global")
        moved = api.patch(f"{URL}{west['id']}/", {"parent_territory": root["id"]})
        assert moved.json()["hierarchy_path"] == "/global/west/"
        assert api.get(f"{URL}{california['id']}/").json()["hierarchy_path"] == "/global/west/california/"
        renamed = api.patch(f"{URL}{root['id']}/", {"name": "Wörld & Co."})
        assert renamed.json()["slug"] == "world-co"
        assert api.get(f"{URL}{california['id']}/").json()["hierarchy_path"] == "/world-co/west/california/"

    def test_of_siblings_with_one_name_differ_by_code(self, acme: World) -> None:
        api = acme.client()
        root = make(api, "Root")
        first = make(api, "Lənkəran", root["id"], code="AZ-LA")
        second = make(api, "Lənkəran", root["id"], code="AZ-LAN")
        assert first["slug"] == "lənkəran"
        assert second["slug"] == "lənkəran-az-lan"
        assert make(api, "東京", root["id"], code="13")["slug"] == "東京"
        assert make(api, "!!!", root["id"], code="X1")["slug"] == "x1"
        taken = api.patch(f"{URL}{second['id']}/", {"slug": "lənkəran"})
        assert (taken.status_code, taken.json()["errors"][0]["code"]) == (400, "taken")

    def test_refuse_circles_and_other_companies(self, acme: World, globex: World) -> None:
        api = acme.client()
        one = make(api, "One")
        two = make(api, "Two", one["id"])
        three = make(api, "Three", two["id"])
        refused = api.patch(f"{URL}{one['id']}/", {"parent_territory": three["id"]})
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "cycle")
        own = api.patch(f"{URL}{one['id']}/", {"parent_territory": one["id"]})
        assert (own.status_code, own.json()["errors"][0]["code"]) == (400, "cycle")
        theirs = make(globex.client(), "Theirs")
        answer = api.patch(f"{URL}{one['id']}/", {"parent_territory": theirs["id"]})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "does_not_exist")
        swap = [
            {"op": "update", "id": one["id"], "parent_territory": two["id"]},
            {"op": "update", "id": two["id"], "parent_territory": None},
        ]
        done = api.post(f"{URL}bulk/", {"atomic": True, "operations": swap})
        assert done.status_code in (200, 400)
        with acme.acting():
            assert stale() == []

    def test_a_parent_may_come_with_its_children(self, acme: World) -> None:
        with acme.acting() as actor:
            ids = [uuid7() for _ in range(6)]
            rows = [
                Territory(
                    pk=ids[place],
                    company_id=actor.company_id,
                    name=f"N{place}",
                    code=f"N{place}",
                    parent_territory_id=parent,
                )
                for place, parent in (
                    (5, ids[4]),
                    (4, ids[3]),
                    (3, ids[0]),
                    (0, None),
                    (1, ids[0]),
                    (2, ids[5]),
                )
            ]
            Territory.objects.bulk_create(rows)
            assert stale() == []
            deepest = Territory.objects.get(pk=ids[2])
            assert deepest.hierarchy_path == "/n0/n3/n4/n5/n2/"
            names = [item.name for item in deepest.get_all_parents()]
            assert names == ["N0", "N3", "N4", "N5"]
            assert [item.name for item in deepest.get_all_parents(include_self=True)][-1] == "N2"
            root = Territory.objects.get(pk=ids[0])
            assert {item.name for item in root.get_all_children()} == {"N1", "N2", "N3", "N4", "N5"}
            assert root.get_all_children(include_self=True).count() == 6
            assert deepest.update_hierarchy_path() == "/n0/n3/n4/n5/n2/"

    def test_raw_statements_keep_them_too(self, acme: World) -> None:
        api = acme.client()
        one, two = make(api, "One"), make(api, "Two")
        make(api, "Three", two["id"])
        with acme.acting():
            Territory.objects.filter(pk=two["id"]).update(parent_territory=one["id"])
            assert stale() == []
            with pytest.raises(Exception, match="above itself"), transaction.atomic():
                Territory.objects.filter(pk=one["id"]).update(parent_territory=two["id"])


@pytest.mark.django_db
class TestMoves:
    @settings(
        max_examples=15,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(moves=st.lists(st.tuples(st.integers(0, 11), st.integers(-1, 11)), min_size=1, max_size=8))
    def test_in_any_order_leave_no_stale_path(self, acme: World, moves: list[tuple[int, int]]) -> None:
        with acme.acting() as actor, transaction.atomic():
            ids = []
            for place in range(12):
                row = {"name": f"T{place}", "code": f"T{place}"}
                if place:
                    row["parent_territory"] = ids[(place - 1) // 2]
                made = create_territories(actor=actor, rows=Rows.of(Territory, [row]), now=timezone.now())
                ids.append(made.one)
            # Several at once, so that paths change above and below in one statement.
            rows = {ids[child]: ids[parent] if parent >= 0 else None for child, parent in moves}
            given_rows = [{"id": child, "parent_territory": parent} for child, parent in rows.items()]
            try:
                with transaction.atomic():
                    update_territories(
                        actor=actor, rows=Rows.of(Territory, given_rows), now=timezone.now()
                    ).raise_if_refused()
            except (DomainError, IntegrityError):
                # A circle, said by the operation or by the database.
                pass
            assert stale() == []
            transaction.set_rollback(True)


@pytest.fixture
def forest(acme: World) -> list[Any]:
    """A tree of 40 with the ids in breadth-first order."""
    with acme.acting() as actor:
        ids: list[Any] = []
        for place in range(40):
            row = {"name": f"T{place}", "code": f"T{place}"}
            if place:
                row["parent_territory"] = ids[(place - 1) // 3]
            ids.append(
                create_territories(actor=actor, rows=Rows.of(Territory, [row]), now=timezone.now()).one
            )
    return ids


@pytest.mark.django_db(transaction=True)
def test_moves_beside_each_other_leave_neither_stale_paths_nor_circles(
    acme: World, forest: list[Any]
) -> None:
    import random

    def work(seed: int) -> None:
        chance = random.Random(seed)
        api = acme.client()
        for _ in range(12):
            child, parent = chance.sample(forest, 2)
            answer = api.patch(f"{URL}{child}/", {"parent_territory": str(parent)})
            assert answer.status_code in (200, 400), answer.content
        connection.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with acme.acting():
        assert stale() == []
        assert Territory.objects.count() == 40
