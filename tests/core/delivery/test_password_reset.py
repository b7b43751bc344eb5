"""A forgotten password: the link works once and in time, and nobody learns who has an account."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from core.delivery.models import OutgoingEmail
from core.delivery.operations import confirm_password_reset
from core.identity.models import AuthSession, LoginThrottle, User
from core.identity.operations import sign_in
from core.identity.operations.password_reset import make_reset_token
from core.jobs.models import Job
from core.kernel.errors import Invalid
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from tests.worlds import PASSWORD, ApiClient, World, make_worlds

pytestmark = pytest.mark.django_db(transaction=True)
NEW = "a loud harbor at noon"
ASK, CONFIRM = "/api/v1/auth/password-reset/", "/api/v1/auth/password-reset/confirm/"


def ask(email: str) -> Any:
    return ApiClient().post(ASK, {"email": email})


def confirm(token: str, password: str = NEW) -> Any:
    return ApiClient().post(CONFIRM, {"token": token, "new_password": password})


def mails(**facts: Any) -> list[OutgoingEmail]:
    with system_context("test"), unit_of_work():
        return list(OutgoingEmail.objects.filter(**facts).order_by("pk"))


def token_in(mail: OutgoingEmail) -> str:
    found = re.search(r"https://crm\.example\.test/admin/password-reset/new/\?token=(\S+)", mail.text)
    assert found is not None
    return unquote(found[1])


def token_of(world: World, role: str, *, age: timedelta = timedelta(0)) -> str:
    with system_context("test"), unit_of_work():
        return make_reset_token(User.objects.get(pk=world.users[role]), now=timezone.now() - age)


def enters(world: World, role: str, password: str) -> bool:
    answer = ApiClient().post("/api/v1/auth/login/", {"email": world.email(role), "password": password})
    return bool(answer.status_code == 200)


class TestAsking:
    def test_mails_a_link_that_sets_the_password_and_ends_every_session(self, acme, globex):
        client = acme.client("sales")
        assert ask(f"  {acme.email('sales').upper()} ").status_code == 202
        [mail] = mails()
        assert (mail.kind, mail.recipient, mail.state) == (
            "password_reset",
            acme.email("sales"),
            OutgoingEmail.State.SANDBOXED,
        )
        assert confirm(token_in(mail)).status_code == 204
        assert client.get("/api/v1/auth/me/").status_code == 401
        assert enters(acme, "sales", NEW)
        assert not enters(acme, "sales", PASSWORD)
        assert [item.kind for item in mails()] == ["password_reset", "password_changed"]

    def test_answers_alike_for_nobody(self, acme, django_assert_num_queries):
        known, unknown = ask(acme.email("sales")), ask("nobody@acme.test")
        assert (known.status_code, known.content) == (unknown.status_code, unknown.content) == (202, b"")
        assert len(mails()) == 1
        with system_context("test"), unit_of_work():
            payloads = list(Job.objects.filter(kind="delivery.send_password_reset").values_list("payload"))
        assert len(payloads) == 2
        assert "nobody" not in str(payloads)

    def test_mails_nothing_to_who_is_deactivated(self, acme):
        with system_context("test"), unit_of_work():
            User.objects.filter(pk=acme.users["sales"]).update(is_active=False)
        assert ask(acme.email("sales")).status_code == 202
        assert mails() == []

    def test_is_slowed_down_for_an_address_whoever_it_is(self, acme):
        for email in (acme.email("sales"), "nobody@acme.test"):
            statuses = [ask(email).status_code for _ in range(5)]
            assert statuses == [202, 202, 202, 429, 429], email

    def test_refuses_what_is_no_address(self, acme):
        answer = ask("not an address")
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["path"] == "email"

    def test_writes_into_the_installation_s_outbox_for_who_is_in_several_companies(self):
        worlds = make_worlds()
        ask("both@people.test")
        [mail] = mails()
        assert mail.company_id is None
        ask(worlds.acme.email("sales"))
        assert mails()[1].company_id == worlds.acme.company.pk

    def test_leads_to_the_address_of_the_settings_not_of_the_request(self, acme):
        Client(headers={"host": "localhost"}).post(
            ASK, {"email": acme.email("sales")}, content_type="application/json"
        )
        assert "localhost" not in mails()[0].text


class TestAToken:
    def test_works_once(self, acme):
        token = token_of(acme, "sales")
        assert confirm(token).status_code == 204
        answer = confirm(token, "yet another harbor here")
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["code"] == "token_invalid"
        assert enters(acme, "sales", NEW)

    def test_works_once_among_ten_at_once(self, acme):
        token = token_of(acme, "sales")
        outcomes: list[str] = []

        def use(number: int) -> None:
            try:
                confirm_password_reset(token=token, new_password=f"{NEW} {number}", now=timezone.now())
                outcomes.append("done")
            except Invalid as refusal:
                outcomes.append(refusal.faults[0].code)
            finally:
                connection.close()

        threads = [threading.Thread(target=use, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(outcomes) == ["done", *["token_invalid"] * 9]

    def test_ends_after_an_hour_and_with_the_next_sign_in(self, acme):
        assert confirm(token_of(acme, "sales", age=timedelta(minutes=61))).status_code == 400
        assert confirm(token_of(acme, "sales", age=timedelta(minutes=-1))).status_code in (204, 400)
        token = token_of(acme, "viewer")
        sign_in(email=acme.email("viewer"), password=PASSWORD, now=timezone.now())
        assert confirm(token).status_code == 400

    def test_of_one_person_is_none_for_another(self, acme):
        mine, theirs = token_of(acme, "sales"), token_of(acme, "admin")
        forged = f"{theirs.partition('.')[0]}.{mine.partition('.')[2]}"
        for wrong in (forged, "", ".", "x", "é.x", mine[:-1], f"{mine}x", "A" * 22 + "." + mine):
            assert confirm(wrong).status_code == 400, wrong
        assert enters(acme, "admin", PASSWORD)

    def test_stays_good_when_the_password_is_refused(self, acme):
        token = token_of(acme, "sales")
        refused = confirm(token, "12345678901")
        assert refused.status_code == 400
        assert {error["path"] for error in refused.json()["errors"]} == {"new_password"}
        assert confirm(token).status_code == 204

    def test_takes_the_brake_off_the_account(self, acme):
        for _ in range(7):
            enters(acme, "sales", "wrong password")
        assert confirm(token_of(acme, "sales")).status_code == 204
        assert enters(acme, "sales", NEW)
        assert not LoginThrottle.objects.filter(key__startswith="account:").exists()


def test_the_change_log_tells_of_both_steps(acme):
    ask(acme.email("sales"))
    confirm(token_in(mails()[0]))
    with system_context("test"), unit_of_work(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT action FROM core_changelog WHERE action LIKE 'password_reset%%' AND company_id = %s ORDER BY id",
            [acme.company.pk],
        )
        assert [action for (action,) in cursor.fetchall()] == ["password_reset_requested", "password_reset"]
        assert AuthSession.objects.filter(user_id=acme.users["sales"], revoked_at=None).count() == 0


class TestInTheBackOffice:
    def test_the_way_back_in(self, acme):
        client = Client()
        page = client.get("/admin/login/").content.decode()
        assert "/admin/password-reset/" in page
        asked = client.post("/admin/password-reset/", {"email": acme.email("sales")})
        assert "Check your email" in asked.content.decode()
        token = token_in(mails()[0])
        there = client.get("/admin/password-reset/new/", {"token": token})
        assert (there.status_code, there["Location"]) == (302, "/admin/password-reset/new/")
        wrong = client.post("/admin/password-reset/new/", {"new_password": NEW, "repeated": "other"})
        assert "not the same" in wrong.content.decode()
        done = client.post("/admin/password-reset/new/", {"new_password": NEW, "repeated": NEW}, follow=True)
        assert "Your password was changed" in done.content.decode()
        signed_in = client.post(
            "/admin/login/", {"username": acme.email("sales"), "password": NEW, "next": "/admin/"}
        )
        assert signed_in.status_code == 302
        again = client.get("/admin/password-reset/new/", {"token": token}, follow=True)
        client.post("/admin/password-reset/new/", {"new_password": NEW, "repeated": NEW})
        assert again.status_code == 200

    def test_an_ended_link_says_so(self, acme):
        client = Client()
        client.get("/admin/password-reset/new/", {"token": "nonsense"})
        answer = client.post("/admin/password-reset/new/", {"new_password": NEW, "repeated": NEW})
        assert "This link has ended" in answer.content.decode()
        assert "This link has ended" in Client().get("/admin/password-reset/new/").content.decode()

    def test_signs_out_of_the_back_office_too(self, acme):
        client = Client()
        client.post(
            "/admin/login/", {"username": acme.email("sales"), "password": PASSWORD, "next": "/admin/"}
        )
        assert client.get("/admin/").status_code == 200
        assert confirm(token_of(acme, "sales")).status_code == 204
        assert client.get("/admin/").status_code == 302
