"""The explorer of the change log over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from core.access.modes import FieldMode, Mode
from core.changes.facts import record_fact
from tests.seams.access import extensions as seams
from tests.worlds import World

LOGS = "/api/v1/audit/logs/"


def get(world: World, path: str = "", role: str = "admin", **query: Any) -> Any:
    return world.client(role).get(f"{LOGS}{path}?{urlencode(query)}" if query else f"{LOGS}{path}")


def results(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.content
    rows: list[dict[str, Any]] = answer.json()["results"]
    return rows


def account(world: World, **values: Any) -> str:
    answer = world.client().post("/api/v1/accounts/", {"name": "Acme Ltd", **values})
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def change(world: World, record: str, role: str = "admin", **values: Any) -> None:
    answer = world.client(role).patch(f"/api/v1/accounts/{record}/", values)
    assert answer.status_code == 200, answer.content


def newest(world: World, record: str) -> dict[str, Any]:
    return results(get(world, "by-entity/", entity_type="account", entity_id=record))[0]


@pytest.fixture(autouse=True)
def _silent() -> Any:
    yield
    seams.forget()


class TestEntries:
    def test_say_who_did_what_when_and_from_where(self, acme: World, globex: World) -> None:
        account(globex, name="Theirs")
        record = account(acme)
        change(acme, record, name="Acme Inc")
        row = results(get(acme, entity_id=record))[0]
        assert (row["action"], row["entity_type"], row["entity_id"]) == ("update", "account", record)
        assert (row["old_values"]["name"], row["new_values"]["name"]) == ("Acme Ltd", "Acme Inc")
        assert "name" in row["changed_fields"]
        assert (row["user"], row["user_name"]) == (str(acme.users["admin"]), "Ada Acme")
        assert (row["source"], row["ip"], row["entity_name"]) == ("api", "127.0.0.1", "Acme Inc")
        assert row["correlation_id"]
        assert (row["requires_review"], row["reviewed_by"], row["reviewed_at"]) == (False, None, None)

    def test_of_a_creation_show_what_it_was_made_with(self, acme: World) -> None:
        record = account(acme, website="https://acme.test/")
        change(acme, record, name="Acme Inc", website="")
        [_, created] = results(get(acme, entity_id=record))
        assert created["new_values"]["name"] == "Acme Ltd"
        assert created["new_values"]["website"] == "https://acme.test/"

    def test_are_told_only_to_those_who_may_see_the_log(self, acme: World) -> None:
        record = account(acme)
        for role in ("manager", "sales", "viewer"):
            for path, query in (
                ("", {}),
                ("by-entity/", {"entity_type": "account", "entity_id": record}),
                ("as-of/", {"entity_type": "account", "entity_id": record, "at": "2026-01-01"}),
            ):
                assert get(acme, path, role, **query).status_code == 403

    def test_of_another_company_are_not_there(self, acme: World, globex: World) -> None:
        theirs = account(globex)
        assert results(get(acme, entity_id=theirs)) == []
        entry = newest(globex, theirs)["id"]
        assert get(acme, f"{entry}/").status_code == 404
        assert acme.client().post(f"{LOGS}{entry}/review/").status_code == 404
        assert acme.client().post(f"{LOGS}{entry}/revert/").status_code == 404
        at = timezone.now().isoformat()
        assert get(acme, "as-of/", entity_type="account", entity_id=theirs, at=at).status_code == 404

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"action": "update"}, True),
            ({"action": "export"}, False),
            ({"field": "name"}, True),
            ({"field": "website"}, False),
            ({"source": "api"}, True),
            ({"source": "import"}, False),
            ({"ip": "127.0.0.1"}, True),
            ({"ip": "10.0.0.1"}, False),
            ({"ip": "nonsense"}, False),
            ({"text": "accou"}, True),
            ({"is_reviewed": "false"}, True),
            ({"is_reviewed": "true"}, False),
            ({"requires_review": "true"}, False),
            ({"is_sensitive": "true"}, False),
            ({"at__gte": "2020-01-01T00:00:00Z"}, True),
            ({"at__lt": "2020-01-01T00:00:00Z"}, False),
            ({"user": str(uuid4())}, False),
        ],
    )
    def test_are_found_by_what_they_say(self, query: dict[str, str], found: bool, acme: World) -> None:
        record = account(acme)
        change(acme, record, name="Acme Inc")
        rows = results(get(acme, entity_type="account", entity_id=record, **query))
        assert any(row["action"] == "update" for row in rows) is found

    def test_are_found_by_user_and_request(self, acme: World) -> None:
        record = account(acme)
        change(acme, record, name="Acme Inc")
        row = results(get(acme, user=acme.users["admin"], entity_id=record))[0]
        together = results(get(acme, correlation_id=row["correlation_id"]))
        assert {item["id"] for item in together} >= {row["id"]}
        assert all(item["correlation_id"] == row["correlation_id"] for item in together)

    def test_of_personal_data_are_sensitive(self, acme: World) -> None:
        made = acme.client().post("/api/v1/contacts/", {"last_name": "Doe", "email": "jo@doe.test"}).json()
        acme.client().patch(f"/api/v1/contacts/{made['id']}/", {"email": "joan@doe.test"})
        [row] = results(get(acme, entity_id=made["id"], is_sensitive="true"))
        assert (row["action"], row["is_sensitive"]) == ("update", True)

    def test_hide_and_mask_what_the_reader_may_not_see(self, acme: World) -> None:
        record = account(acme, website="https://acme.test/")
        change(acme, record, name="Acme Inc", website="https://acme-inc.test/")
        with acme.acting() as actor:
            role = actor.rights.role_id
        assert role is not None
        seams.role_modes.narrow(role, "account", website=FieldMode(Mode.HIDDEN), name=FieldMode(Mode.MASK))
        row = newest(acme, record)
        assert "website" not in row["old_values"] | row["new_values"]
        assert "website" not in row["changed_fields"]
        assert (row["old_values"]["name"], row["entity_name"]) == ("•••", "•••")
        assert [item["field"] for item in row["changes"]] == ["name"]
        assert results(get(acme, entity_id=record, field="website")) == []

    def test_walk_by_cursor_without_a_gap(self, acme: World) -> None:
        record = account(acme)
        for number in range(5):
            change(acme, record, name=f"Acme {number}")
        seen, answer = [], get(acme, entity_id=record, page_size=2, cursor="")
        while True:
            seen += [row["id"] for row in results(answer)]
            if answer.json()["next"] is None:
                break
            answer = acme.client().get(answer.json()["next"])
        assert len(seen) == 6
        assert seen == sorted(seen, reverse=True)

    def test_cost_the_same_number_of_statements_however_many(
        self, acme: World, django_assert_max_num_queries: Any
    ) -> None:
        for number in range(8):
            change(acme, account(acme, name=f"Acme {number}"), name=f"Was {number}")
        client = acme.client()
        with django_assert_max_num_queries(14):
            assert len(results(client.get(f"{LOGS}?page_size=16"))) == 16


class TestHistory:
    def test_tells_each_field_before_and_after(self, acme: World) -> None:
        record = account(acme)
        change(acme, record, name="Acme Inc", website="https://acme.test/")
        changes = {item["field"]: item for item in newest(acme, record)["changes"]}
        assert changes["name"] == {"field": "name", "label": "Name", "old": "Acme Ltd", "new": "Acme Inc"}
        assert changes["website"]["new"] == "https://acme.test/"

    def test_reaches_from_the_creation_to_the_deletion(self, acme: World) -> None:
        record = account(acme)
        change(acme, record, name="Acme Inc")
        assert acme.client().delete(f"/api/v1/accounts/{record}/").status_code == 204
        rows = results(get(acme, "by-entity/", entity_type="account", entity_id=record))
        assert [row["action"] for row in rows] == ["delete", "update", "create"]
        created = {item["field"]: item["new"] for item in rows[-1]["changes"]}
        assert created["name"] == "Acme Ltd"

    def test_wants_to_know_of_which_record(self, acme: World) -> None:
        answer = get(acme, "by-entity/")
        assert answer.status_code == 400
        assert {fault["path"] for fault in answer.json()["errors"]} == {"entity_type", "entity_id"}


class TestAsOf:
    def as_of(self, world: World, record: str, at: datetime | str) -> Any:
        moment = at if isinstance(at, str) else at.isoformat()
        answer = get(world, "as-of/", entity_type="account", entity_id=record, at=moment)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def test_is_the_record_as_it_stood(self, acme: World) -> None:
        record = account(acme)
        change(acme, record, name="Second", website="https://second.test/")
        change(acme, record, name="Third")
        # Everything in this test is one transaction, and so one moment; the steps themselves are tested by their order.
        now = self.as_of(acme, record, timezone.now())
        assert (now["exists"], now["is_deleted"], now["values"]["name"]) == (True, False, "Third")
        before = self.as_of(acme, record, timezone.now() - timedelta(days=1))
        assert (before["exists"], before["values"]) == (False, {})

    def test_refuses_kinds_and_times_that_mean_nothing(self, acme: World) -> None:
        record = account(acme)
        assert get(acme, "as-of/", entity_type="nope", entity_id=record, at="2026-01-01").status_code == 404
        answer = get(acme, "as-of/", entity_type="account", entity_id="x", at="yesterday")
        assert {fault["code"] for fault in answer.json()["errors"]} == {"not_an_id", "not_a_datetime"}


class TestReviews:
    def test_stand_beside_the_entry(self, acme: World) -> None:
        record = account(acme)
        entry = newest(acme, record)["id"]
        answer = acme.client().post(f"{LOGS}{entry}/review/", {"note": "Fine."})
        assert answer.status_code == 200, answer.content
        row = answer.json()
        assert (row["reviewed_by"], row["review_note"]) == (str(acme.users["admin"]), "Fine.")
        assert results(get(acme, entity_id=record, is_reviewed="true"))[0]["id"] == entry
        again = acme.client().post(f"{LOGS}{entry}/review/", {})
        assert (again.status_code, again.json()["code"]) == (409, "already_reviewed")

    def test_take_a_right_of_their_own(self, acme: World) -> None:
        entry = newest(acme, account(acme))["id"]
        assert acme.client("manager").post(f"{LOGS}{entry}/review/").status_code == 403


class TestReverts:
    def revert(self, world: World, entry: int, body: Any = None) -> Any:
        return world.client().post(f"{LOGS}{entry}/revert/", body or {})

    def test_write_the_old_values_back_as_a_new_change(self, acme: World) -> None:
        record = account(acme)
        change(acme, record, name="Acme Inc", website="https://acme.test/")
        entry = newest(acme, record)["id"]
        answer = self.revert(acme, entry)
        assert answer.status_code == 200, answer.content
        now = acme.client().get(f"/api/v1/accounts/{record}/").json()
        assert (now["name"], now["website"]) == ("Acme Ltd", "")
        undone = newest(acme, record)
        assert undone["cause"] == entry
        assert undone["user"] == str(acme.users["admin"])

    @pytest.mark.parametrize("revenue", ["1054.00", "12345678901234.57", "0.10", None])
    def test_give_numbers_back_with_all_their_digits(self, revenue: str | None, acme: World) -> None:
        record = account(acme, annual_revenue=revenue)
        change(acme, record, annual_revenue="7.25")
        entry = newest(acme, record)["id"]
        answer = acme.client().post(f"{LOGS}{entry}/revert/")
        assert answer.status_code == 200, answer.content
        assert acme.client().get(f"/api/v1/accounts/{record}/").json()["annual_revenue"] == revenue

    def test_take_single_fields(self, acme: World) -> None:
        record = account(acme)
        change(acme, record, name="Acme Inc", website="https://acme.test/")
        assert self.revert(acme, newest(acme, record)["id"], {"fields": ["website"]}).status_code == 200
        now = acme.client().get(f"/api/v1/accounts/{record}/").json()
        assert (now["name"], now["website"]) == ("Acme Inc", "")

    def test_are_refused_with_the_later_changes_that_conflict(self, acme: World) -> None:
        record = account(acme)
        change(acme, record, name="Second", website="https://acme.test/")
        entry = newest(acme, record)["id"]
        change(acme, record, name="Third")
        later = newest(acme, record)["id"]
        answer = self.revert(acme, entry)
        assert (answer.status_code, answer.json()["code"]) == (409, "later_changes")
        [conflict] = answer.json()["conflicts"]
        assert (conflict["id"], conflict["fields"]) == (later, ["name"])
        assert acme.client().get(f"/api/v1/accounts/{record}/").json()["name"] == "Third"
        assert self.revert(acme, entry, {"fields": ["website"]}).status_code == 200

    def test_restore_what_was_deleted_and_delete_what_was_made(self, acme: World) -> None:
        record = account(acme)
        acme.client().delete(f"/api/v1/accounts/{record}/")
        assert self.revert(acme, newest(acme, record)["id"]).status_code == 200
        assert acme.client().get(f"/api/v1/accounts/{record}/").status_code == 200
        other = account(acme, name="Other")
        assert self.revert(acme, newest(acme, other)["id"]).status_code == 200
        assert acme.client().get(f"/api/v1/accounts/{other}/").status_code == 404

    def test_do_no_more_than_the_actor_may_by_hand(self, acme: World) -> None:
        record = account(acme, website="https://acme.test/")
        change(acme, record, website="https://acme-inc.test/")
        entry = newest(acme, record)["id"]
        with acme.acting() as actor:
            role = actor.rights.role_id
        assert role is not None
        seams.role_modes.narrow(role, "account", website=FieldMode(Mode.VIEW))
        answer = self.revert(acme, entry)
        assert answer.status_code == 403, answer.content

    def test_leave_facts_alone(self, acme: World) -> None:
        with acme.acting():
            entry = record_fact(action="export", entity_type="account", details={"rows": 3})
        assert self.revert(acme, entry).json()["code"] == "not_revertible"

    def test_name_only_fields_that_changed(self, acme: World) -> None:
        record = account(acme)
        change(acme, record, name="Acme Inc")
        answer = self.revert(acme, newest(acme, record)["id"], {"fields": ["website"]})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["code"] == "not_changed"


class TestSummary:
    def test_counts_by_time_user_kind_action_and_source(self, acme: World, globex: World) -> None:
        account(globex)
        change(acme, account(acme), name="Acme Inc")
        answer = acme.client().get("/api/v1/audit/summary/?bucket=hour")
        assert answer.status_code == 200, answer.content
        found = answer.json()
        actions = {item["value"]: item["count"] for item in found["by_action"]}
        kinds = {item["value"]: item["count"] for item in found["by_entity"]}
        assert (actions["update"] >= 1, kinds["account"]) == (True, 2)
        assert sum(item["count"] for item in found["by_time"]) == found["total"]
        users = {item["value"]: item["label"] for item in found["by_user"]}
        assert users[str(acme.users["admin"])] == "Ada Acme"
        assert found["total"] == len(_everything(acme))

    def test_refuses_times_that_mean_nothing(self, acme: World) -> None:
        answer = acme.client().get("/api/v1/audit/summary/?bucket=eon&since=x")
        assert {fault["path"] for fault in answer.json()["errors"]} == {"bucket", "since"}


def _everything(world: World) -> list[UUID]:
    from audit.models import AuditLog

    with world.acting():
        return list(AuditLog.objects.values_list("pk", flat=True))
