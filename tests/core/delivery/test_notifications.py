"""Notifications reach members by the channels they chose, once, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from core.delivery.kinds import NotificationKind, register_notification_kind
from core.delivery.models import Notification, OutgoingEmail
from core.delivery.operations import notify
from core.kernel.registry import DuplicateEntry, RegistryFrozen
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from tests.worlds import World

pytestmark = pytest.mark.django_db
KIND = "import.finished"


def tell(world: World, *roles: str, **facts: Any) -> int:
    with world.acting() as actor:
        people = [world.users[role] for role in roles]
        plain = {"kind": KIND, "key": "1", "title": "Import of leads.csv finished", "body": "12 created."}
        return notify(actor=actor, recipients=people, now=timezone.now(), **{**plain, **facts})


def prefer(world: World, role: str, *channels: str) -> Any:
    body = {"channels": {KIND: list(channels)}}
    return world.client(role).put("/api/v1/me/notification-preferences/", body)


def mails() -> list[str]:
    with system_context("test"), unit_of_work():
        return list(OutgoingEmail.objects.order_by("pk").values_list("recipient", flat=True))


class TestNotifying:
    def test_reaches_each_recipient_once(self, acme, globex):
        assert tell(acme, "sales", "viewer") == 2
        assert tell(acme, "sales", "manager") == 1
        with acme.acting():
            assert Notification.objects.count() == 3

    def test_passes_over_who_is_no_active_member(self, acme, globex):
        acme.client().delete(f"/api/v1/users/{acme.users['viewer']}/")
        assert tell(acme, "viewer") == 0
        with acme.acting() as actor:
            strangers = [globex.users["admin"]]
            assert (
                notify(actor=actor, kind=KIND, key="2", recipients=strangers, title="Hi", now=timezone.now())
                == 0
            )

    def test_takes_the_channels_that_each_chose(self, acme, globex):
        assert prefer(acme, "sales", "email").status_code == 200
        assert prefer(acme, "manager", "in_app", "email").status_code == 200
        assert prefer(acme, "viewer").status_code == 200
        assert tell(acme, "admin", "sales", "manager", "viewer") == 3
        with acme.acting():
            shown = set(Notification.objects.values_list("recipient_id", flat=True))
        assert shown == {acme.users["admin"], acme.users["manager"]}
        assert sorted(mails()) == [acme.email("manager"), acme.email("sales")]

    def test_takes_a_constant_number_of_statements(self, acme, django_assert_num_queries):
        roles = list(acme.users)
        for role in roles:
            prefer(acme, role, "in_app", "email")
        for key, told in (("a", roles[:1]), ("b", roles)):
            with acme.acting() as actor:
                people = [acme.users[role] for role in told]
                with django_assert_num_queries(4):
                    notify(actor=actor, kind=KIND, key=key, recipients=people, title="Hi", now=timezone.now())

    def test_of_an_unknown_kind_is_a_mistake(self, acme):
        with pytest.raises(KeyError):
            tell(acme, "sales", kind="nothing.known")

    def test_has_kinds_with_channels_that_exist(self):
        with pytest.raises(ValueError, match="pigeon"):
            register_notification_kind(NotificationKind("a", "A", "", ("pigeon",)))
        with pytest.raises((RegistryFrozen, DuplicateEntry)):
            register_notification_kind(NotificationKind(KIND, "A", ""))

    def test_writes_a_mail_that_leads_to_the_record(self, acme):
        prefer(acme, "sales", "email")
        record = acme.users["sales"]
        tell(acme, "sales", entity_type="user", entity_id=record, title="A <b>\r\n title")
        with acme.acting():
            mail = OutgoingEmail.objects.get()
        assert mail.subject == "A <b> title"
        assert f"https://crm.example.test/admin/records/user/{record}/" in mail.text
        assert "A &lt;b&gt; title" in mail.html


class TestTheList:
    def test_shows_one_s_own_newest_first_page_by_page(self, acme, globex):
        for number in range(5):
            tell(acme, "sales", "viewer", key=str(number), title=f"Number {number}")
        client = acme.client("sales")
        first = client.get("/api/v1/notifications/?page_size=3").json()
        assert [item["title"] for item in first["results"]] == ["Number 4", "Number 3", "Number 2"]
        second = client.get(first["next"]).json()
        assert [item["title"] for item in second["results"]] == ["Number 1", "Number 0"]
        assert second["next"] is None
        assert globex.client("sales").get("/api/v1/notifications/").json()["results"] == []

    def test_narrows_to_unread_and_kind(self, acme):
        tell(acme, "sales", key="1")
        tell(acme, "sales", key="2")
        client = acme.client("sales")
        [newest, _] = client.get(f"/api/v1/notifications/?kind={KIND}").json()["results"]
        read = client.post(f"/api/v1/notifications/{newest['id']}/read/")
        assert read.status_code == 200
        assert read.json()["read_at"] is not None
        assert client.post(f"/api/v1/notifications/{newest['id']}/read/").json() == read.json()
        unread = client.get("/api/v1/notifications/?unread=true").json()["results"]
        assert [item["id"] for item in unread] != [newest["id"]]
        assert client.get("/api/v1/notifications/unread-count/").json() == {"unread": 1}
        assert client.post("/api/v1/notifications/read-all/").json() == {"read": 1}
        assert client.get("/api/v1/notifications/unread-count/").json() == {"unread": 0}

    @pytest.mark.parametrize(
        ("query", "path"),
        [("unread=1", "unread"), ("kind=x", "kind"), ("before=1", "before"), ("page_size=1001", "page_size")],
    )
    def test_says_what_is_wrong_with_a_parameter(self, acme, query, path):
        answer = acme.client().get(f"/api/v1/notifications/?{query}")
        assert answer.status_code == 400
        assert [error["path"] for error in answer.json()["errors"]] == [path]

    def test_of_others_cannot_be_read(self, acme, globex):
        tell(acme, "sales")
        with acme.acting():
            known = Notification.objects.get().pk
        path = f"/api/v1/notifications/{known}/read/"
        assert acme.client("viewer").post(path).status_code == 404
        assert globex.client("sales").post(path).status_code == 404
        assert acme.client("sales").post("/api/v1/notifications/x/read/").status_code == 404


class TestPreferences:
    def test_begin_with_the_kind_s_own(self, acme):
        [item] = [
            item
            for item in acme.client().get("/api/v1/me/notification-preferences/").json()["results"]
            if item["kind"] == KIND
        ]
        assert (item["channels"], item["default_channels"]) == (["in_app"], ["in_app"])

    def test_that_are_left_out_go_back(self, acme):
        prefer(acme, "sales", "email")
        answer = acme.client("sales").put("/api/v1/me/notification-preferences/", {"channels": {}})
        assert {tuple(item["channels"]) for item in answer.json()["results"]} == {("in_app",)}

    @pytest.mark.parametrize(("channels", "path"), [({"x": []}, "x"), ({KIND: ["pigeon"]}, f"{KIND}.0")])
    def test_that_mean_nothing_are_refused(self, acme, channels, path):
        answer = acme.client().put("/api/v1/me/notification-preferences/", {"channels": channels})
        assert answer.status_code == 400
        assert [error["path"] for error in answer.json()["errors"]] == [path]
