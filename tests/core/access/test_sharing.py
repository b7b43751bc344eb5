"""Records that an app shares are open for the verbs it shares them for, and for no others."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db.models import Q

from core.access import view
from core.access.visibility import one_of, visible
from core.entities import entities
from core.identity.models import Person
from tests.seams.access.extensions import role_sharing
from tests.worlds import World

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("plugs")]

EQUIPMENT = "/api/v1/equipment/"


@pytest.fixture
def shared(acme: World, globex: World) -> World:
    """Equipment of the north is shared with sales for reading, with managers for writing too."""
    north = Q(region="north")
    role_sharing.share(acme.role("sales").pk, "equipment", north, "read")
    role_sharing.share(acme.role("manager").pk, "equipment", north, "read", "update", "delete")
    return acme


@pytest.fixture
def pump(shared: World) -> dict[str, Any]:
    """The admin's, in the north."""
    return made(shared, "Pump", "north")


def made(world: World, name: str, region: str) -> dict[str, Any]:
    document: dict[str, Any] = world.client().post(EQUIPMENT, {"name": name, "region": region}).json()
    return document


class TestReading:
    def test_is_open_for_what_is_shared(self, shared: World, pump: dict[str, Any]) -> None:
        saw = made(shared, "Saw", "south")
        client = shared.client("sales")
        assert [item["name"] for item in client.get(EQUIPMENT).json()["results"]] == ["Pump"]
        assert client.get(f"{EQUIPMENT}{pump['id']}/").status_code == 200
        assert client.get(f"{EQUIPMENT}{saw['id']}/").status_code == 404

    def test_reaches_no_other_company(self, shared: World, globex: World, pump: dict[str, Any]) -> None:
        role_sharing.share(
            globex.role("sales").pk, "equipment", Q(region="north"), "read", "update", "delete"
        )
        client = globex.client("sales")
        assert client.get(EQUIPMENT).json()["results"] == []
        assert client.patch(f"{EQUIPMENT}{pump['id']}/", {"name": "x"}).status_code == 404


class TestWriting:
    @pytest.mark.parametrize(
        ("role", "status", "unseen"), [("sales", 403, 404), ("manager", 200, 404), ("viewer", 403, 403)]
    )
    def test_needs_to_be_shared_itself(
        self, shared: World, pump: dict[str, Any], role: str, status: int, unseen: int
    ) -> None:
        saw = made(shared, "Saw", "south")
        client = shared.client(role)
        for method, body in (("patch", {"name": "P2"}), ("put", {"name": "P3"})):
            assert getattr(client, method)(f"{EQUIPMENT}{pump['id']}/", body).status_code == status
            assert getattr(client, method)(f"{EQUIPMENT}{saw['id']}/", body).status_code == unseen

    def test_by_an_external_id_is_no_way_around(self, shared: World) -> None:
        path = f"{EQUIPMENT}by-external-id/erp/77/"
        assert shared.client().put(path, {"name": "Crane"}).status_code == 201
        assert shared.client("sales").put(path, {"name": "Mine"}).status_code == 403
        assert shared.client("manager").put(path, {"name": "Ours"}).status_code == 200

    def test_in_bulk_each_row_answers_for_itself(self, shared: World, pump: dict[str, Any]) -> None:
        saw = made(shared, "Saw", "south")
        own = shared.client("sales").post(EQUIPMENT, {"name": "Own", "region": "south"}).json()
        rows = [{"op": "update", "id": item["id"], "name": "New"} for item in (pump, saw, own)]
        results = shared.client("sales").post(f"{EQUIPMENT}bulk/", {"operations": rows}).json()["results"]
        assert [item["status"] for item in results] == [403, 404, 200]
        assert shared.client().get(f"{EQUIPMENT}{pump['id']}/").json()["name"] == "Pump"

    def test_deleting_and_restoring_ask_for_theirs(self, shared: World, pump: dict[str, Any]) -> None:
        role = shared.role("manager").pk
        role_sharing.shared.pop((role, "equipment", "delete"))
        client = shared.client("manager")
        assert client.delete(f"{EQUIPMENT}{pump['id']}/").status_code == 403
        assert shared.client().delete(f"{EQUIPMENT}{pump['id']}/").status_code == 204
        assert client.get("/api/v1/recycle-bin/?entity=equipment").json()["results"] == []
        assert client.post(f"{EQUIPMENT}{pump['id']}/restore/").status_code == 403
        role_sharing.share(role, "equipment", Q(region="north"), "delete")
        assert client.post(f"{EQUIPMENT}{pump['id']}/restore/").status_code == 200

    def test_costs_one_statement_for_a_page_of_ids(
        self, shared: World, pump: dict[str, Any], django_assert_num_queries: Any
    ) -> None:
        with shared.acting("sales") as actor:
            seen = view("equipment", actor)
            with django_assert_num_queries(1):
                found = seen.open_for([UUID(pump["id"])], ("update", "delete"))
            assert list(found.values()) == [frozenset()]
            with django_assert_num_queries(1):
                seen.get(pump["id"], seen.records().only("pk"))


class TestBackOffice:
    def test_offers_no_change_of_what_is_shared_for_reading(
        self, shared: World, pump: dict[str, Any]
    ) -> None:
        from django.test import Client

        from tests.worlds import PASSWORD

        for role, status in (("sales", 403), ("manager", 302)):
            client = Client()
            client.post(
                "/admin/login/", {"username": shared.email(role), "password": PASSWORD, "next": "/admin/"}
            )
            page = client.get(f"/admin/seams/equipment/{pump['id']}/")
            assert page.status_code == 200
            assert (b"/change/" in page.content) is (role == "manager")
            answer = client.post(f"/admin/seams/equipment/{pump['id']}/delete/", {"post": "yes"})
            assert answer.status_code == status
            if role == "sales":
                marked = {"action": "assign_owner", "_selected_action": pump["id"], "confirmed": "1"}
                marked["owner_id"] = str(shared.users["sales"])
                client.post("/admin/seams/equipment/", marked)
                owner = shared.client().get(f"{EQUIPMENT}{pump['id']}/").json()["owner"]
                assert owner == str(shared.users["admin"])


class TestEntitiesWithoutAnOwner:
    def test_take_part(self, shared: World) -> None:
        """Lines of deals have no owner: they are seen through their deal, or because somebody shares them."""
        with shared.acting("sales") as actor:
            line = entities["deal_product"]
            assert line.owner is None
            before = str(visible(line, actor))
            role_sharing.share(actor.rights.role_id, "deal_product", Q(quantity=3), "read")
            assert "quantity" in str(visible(line, actor))
            assert "quantity" not in before
            assert "quantity" not in str(visible(line, actor, "update"))


class TestSubqueries:
    def test_are_one_value_to_the_planner(self, shared: World) -> None:
        with shared.acting("manager") as actor:
            people = Person.objects.filter(last_name="Acme").values("pk")
            role_sharing.share(actor.rights.role_id, "equipment", one_of("owner", people), "read")
            sql = str(view("equipment", actor).records().query)
            assert sql.count("= ANY (ARRAY(") == 2
            assert len(view("equipment", actor).records()) == 0
