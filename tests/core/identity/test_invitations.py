"""People belong to companies by consent. Each attack here succeeded before there were invitations."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import unquote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.changes import Rows
from core.delivery.models import OutgoingEmail
from core.identity.models import Invitation, Membership, Person, Role, User
from core.identity.operations import create_users, deactivate_users, update_users
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from tests.core.identity.links import link_of
from tests.core.identity.test_members import codes
from tests.core.identity.test_sessions import login, race
from tests.worlds import PASSWORD, Api, acting

NEW = "nine white boats in line"
KNOWN, UNKNOWN = "sales@acme.test", "nobody@acme.test"


def invite(firm, email, role="sales", **facts):
    return firm.api("admin").post("/users/", {"email": email, "role": str(firm.role(role).pk), **facts})


def accept(token, api=None, **facts):
    return (api or Api()).post("/auth/invitations/accept/", {"token": token, **facts})


def link(firm, email, **facts):
    return link_of(Invitation, email=email, company=firm.company, **facts)


def prove(firm, role):
    """As if this person had chosen the password by a link."""
    with system_context("test"), unit_of_work():
        User.objects.filter(pk=firm.users[role]).update(proven_at=timezone.now())


class TestAttacks:
    def test_a_password_set_before_an_address_was_proven_opens_no_further_company(self, firms):
        """Globex adds somebody, sets a password, and waits until Acme has them too."""
        victim = "victim@people.test"
        user = invite(firms.globex, victim).json()
        password = {"password": NEW}
        firms.globex.api("admin").post(f"/users/{user['id']}/set-password/", password)
        assert login(victim, NEW).status_code == 401
        invite(firms.acme, victim, "admin")
        assert login(victim, NEW, company="acme").status_code == 401
        answer = accept(link(firms.acme, victim), password=PASSWORD)
        assert answer.status_code == 200
        assert login(victim, NEW).status_code == 401
        assert login(victim, company="globex").status_code == 403
        # What Globex still has is an invitation, which says nothing more than before.
        seen = firms.globex.api("admin").get(f"/users/{user['id']}/").json()
        assert (seen["state"], seen["last_login"], seen["full_name"]) == ("invited", None, victim)

    def test_a_password_that_an_admin_has_set_goes_when_the_person_joins_another_company(self, firms):
        user = firms.globex.users["sales"]
        prove(firms.globex, "sales")
        firms.globex.api("admin").post(f"/users/{user}/set-password/", {"password": NEW})
        spy = Api(login("sales@globex.test", NEW).json()["access"])
        invite(firms.acme, "sales@globex.test")
        token = link(firms.acme, "sales@globex.test")
        assert accept(token, spy).status_code == 400
        assert accept(token, password="another calm harbor").status_code == 200
        assert login("sales@globex.test", NEW).status_code == 401
        assert spy.get("/auth/me/").status_code == 401
        answer = firms.globex.api("admin").post(f"/users/{user}/set-password/", {"password": NEW})
        assert answer.json()["code"] == "belongs_elsewhere"

    def test_a_company_learns_nothing_about_an_address(self, firms):
        told, asked = [], []
        for email in (KNOWN, UNKNOWN):
            with CaptureQueriesContext(
                connection,
            ) as queries:
                answer = invite(firms.globex, email)
            asked.append(len(queries))
            body = answer.json()
            assert body["full_name"] == email
            told.append(
                {name: value for name, value in body.items() if name not in ("id", "email", "full_name")}
            )
            for when in ("created_at", "updated_at", "invited_until"):
                told[-1].pop(when)
            assert body["id"] != str(firms.acme.users["sales"])
        assert told[0] == told[1]
        assert asked[0] == asked[1]

    def test_a_company_reads_nothing_of_a_person_but_its_own_membership(self, firms):
        login("both@people.test", company="acme")
        seen = firms.globex.api("admin").get(f"/users/{firms.globex.users['both']}/").json()
        assert seen["last_login"] is None
        login("both@people.test", company="globex")
        seen = firms.globex.api("admin").get(f"/users/{firms.globex.users['both']}/").json()
        assert seen["last_login"] is not None

    @pytest.mark.parametrize("path", ["/auth/register/", "/auth/password-reset/"])
    def test_doors_for_everybody_answer_alike_for_known_and_unknown(self, firms, path):
        body = {"company_name": "Evil"} if "register" in path else {}
        answers, asked = [], []
        for email in (KNOWN, UNKNOWN):
            with CaptureQueriesContext(connection) as queries:
                answer = Api().post(path, {"email": email, **body})
            answers.append((answer.status_code, answer.content))
            asked.append(len(queries))
        assert answers[0] == answers[1]
        assert asked[0] == asked[1]
        with system_context("test"), unit_of_work():
            assert not User.objects.filter(email=UNKNOWN).exists()
            assert Membership.objects.filter(user__email=KNOWN).count() == 1

    def test_an_admin_gives_no_member_an_address_that_is_somebody_elses(self, firms):
        user = firms.globex.users["sales"]
        for email in (KNOWN, UNKNOWN):
            answer = firms.globex.api("admin").patch(f"/users/{user}/", {"email": email})
            assert codes(answer) == {"not_editable"}

    def test_an_invitation_of_somebody_dismissed_ends_with_them(self, firms):
        with acting(firms.globex.actor("admin")):
            row = {"id": firms.globex.users["manager"], "role": Role.objects.get(name="admin").pk}
            update_users(
                actor=firms.globex.actor("admin"), rows=Rows.of(Person, [row]), now=timezone.now()
            ).raise_if_refused()
        role = str(firms.globex.role("admin").pk)
        firms.globex.api("manager").post("/users/", {"email": "backdoor@x.test", "role": role})
        token = link(firms.globex, "backdoor@x.test")
        firms.globex.api("admin").delete(f"/users/{firms.globex.users['manager']}/")
        assert codes(accept(token, password=NEW)) == {"token_invalid"}


class TestAccepting:
    def test_makes_a_new_person_with_the_id_of_the_invitation(self, firms):
        user = invite(firms.acme, "new@acme.test", first_name="Nina").json()
        token = link(firms.acme, "new@acme.test")
        told = Api().post("/auth/invitations/read/", {"token": token}).json()
        assert told["company"]["slug"] == "acme"
        assert (told["role"], told["invited_by"], told["chooses_password"]) == ("sales", "Ada Acme", True)
        answer = accept(token, password=NEW, last_name="Novak")
        assert answer.status_code == 200
        assert answer.json()["user"]["id"] == user["id"]
        assert answer["Cache-Control"] == "no-store"
        seen = firms.acme.api("admin").get(f"/users/{user['id']}/").json()
        assert (seen["state"], seen["is_active"], seen["full_name"]) == ("active", True, "Nina Novak")
        assert login("new@acme.test", NEW).status_code == 200
        assert codes(accept(token, password=NEW)) == {"token_invalid"}

    def test_asks_a_known_person_to_sign_in(self, firms):
        prove(firms.acme, "sales")
        invite(firms.globex, KNOWN)
        token = link(firms.globex, KNOWN)
        assert Api().post("/auth/invitations/read/", {"token": token}).json()["chooses_password"] is False
        assert accept(token).json()["code"] == "sign_in_needed"
        assert accept(token, firms.globex.api("sales")).json()["code"] == "sign_in_needed"
        assert accept(token, password="not the one").json()["code"] == "invalid_credentials"
        assert accept(token, firms.acme.api("sales")).json()["company"]["slug"] == "globex"
        assert login(KNOWN, company="globex").status_code == 200
        seen = firms.globex.api("admin").get(f"/users/?email={KNOWN}").json()["results"]
        assert [item["state"] for item in seen] == ["active"]

    def test_works_at_once_in_the_session_one_has(self, firms):
        """A refusal that was given before leaves no trace."""
        prove(firms.acme, "sales")
        api = firms.acme.api("sales")
        assert api.get("/auth/me/", **{"X-Company": "globex"}).status_code == 403
        invite(firms.globex, KNOWN)
        accept(link(firms.globex, KNOWN), password=PASSWORD)
        assert api.get("/auth/me/", **{"X-Company": "globex"}).json()["company"]["slug"] == "globex"

    def test_lets_the_sandboxs_link_take_over_nobody(self, firms):
        """Without a server the company's admins read the link, so that it proves nothing."""
        invite(firms.globex, KNOWN)
        token = link(firms.globex, KNOWN, is_mailed=False)
        assert accept(token, password=NEW).status_code == 401
        assert login(KNOWN, NEW).status_code == 401
        assert accept(token, password=PASSWORD).status_code == 200

    @pytest.mark.parametrize("ending", ["expired", "revoked", "resent", "readdressed", "forged"])
    def test_refuses_a_link_that_has_ended(self, firms, ending):
        user = invite(firms.acme, "new@acme.test").json()["id"]
        token, api = link(firms.acme, "new@acme.test"), firms.acme.api("admin")
        with system_context("test"), unit_of_work():
            Invitation.objects.update(sent_at=None)
        match ending:
            case "expired":
                with system_context("test"), unit_of_work():
                    Invitation.objects.update(expires_at=timezone.now())
            case "revoked":
                assert api.delete(f"/users/{user}/").status_code == 204
                assert api.get(f"/users/{user}/").status_code == 404
            case "resent":
                assert api.post(f"/users/{user}/resend-invitation/").status_code == 202
                link(firms.acme, "new@acme.test")
            case "readdressed":
                assert api.patch(f"/users/{user}/", {"email": "right@acme.test"}).status_code == 200
            case "forged":
                token = "x" * len(token)
        assert codes(accept(token, password=NEW)) == {"token_invalid"}
        assert login("new@acme.test", NEW).status_code == 401

    def test_keeps_the_password_rules(self, firms):
        invite(firms.acme, "new@acme.test")
        answer = accept(link(firms.acme, "new@acme.test"), password="short")
        assert {error["path"] for error in answer.json()["errors"]} == {"password"}

    def test_makes_one_account_of_two_invitations_at_once(self, committed_firms):
        firms = [committed_firms.acme, committed_firms.globex]
        for firm in firms:
            invite(firm, "new@people.test")
        tokens = [link(firm, "new@people.test") for firm in firms]
        race(2, lambda number: accept(tokens[number], password=PASSWORD))
        with system_context("test"), unit_of_work():
            assert User.objects.filter(email="new@people.test").count() == 1
            pending = Invitation.objects.filter(state="pending").count()
        assert pending in (0, 1)


class TestInvitations:
    def test_are_mailed_with_a_link_that_is_not_kept(self, committed_firms):
        firm = committed_firms.acme
        invite(firm, "new@acme.test")
        with system_context("test"), unit_of_work():
            [mail] = OutgoingEmail.objects.filter(kind="invitation")
            row = Invitation.objects.get(email="new@acme.test")
        assert (mail.recipient, mail.is_confidential, mail.company_id) == (
            "new@acme.test",
            True,
            firm.company.pk,
        )
        found = re.search(r"/admin/invitation/\?token=(\S+)", mail.text)
        assert found is not None
        token = unquote(found[1])
        assert token.encode() not in bytes(row.token_digest)
        assert accept(token, password=NEW).status_code == 200

    def test_are_not_sent_twice_in_a_minute(self, firms):
        user = invite(firms.acme, "new@acme.test").json()["id"]
        with system_context("test"), unit_of_work():
            Invitation.objects.update(sent_at=timezone.now() - timedelta(seconds=30))
        answer = firms.acme.api("admin").post(f"/users/{user}/resend-invitation/")
        assert answer.status_code == 429
        member = firms.acme.users["sales"]
        assert firms.acme.api("admin").post(f"/users/{member}/resend-invitation/").status_code == 404
        assert firms.globex.api("admin").post(f"/users/{user}/resend-invitation/").status_code == 404

    def test_can_be_changed_and_are_no_members(self, firms):
        api, viewer = firms.acme.api("admin"), str(firms.acme.role("viewer").pk)
        user = invite(firms.acme, "new@acme.test").json()
        path = f"/users/{user['id']}/"
        changed = api.patch(path, {"first_name": "Nina", "role": viewer, "version": user["version"]}).json()
        assert (changed["first_name"], changed["role"], changed["version"]) == ("Nina", viewer, 2)
        assert api.patch(path, {"first_name": "N", "version": 1}).status_code == 412
        assert codes(api.patch(path, {"is_active": True})) == {"not_accepted"}
        assert codes(api.patch(path, {"email": "sales@acme.test"})) == {"taken"}
        assert codes(invite(firms.acme, "new@acme.test")) == {"taken"}
        answer = api.post("/users/", {"email": "b@acme.test", "role": viewer, "manager": user["id"]})
        assert codes(answer) == {"does_not_exist"}

    def test_and_members_change_together_or_not_at_all(self, firms):
        actor, now = firms.acme.actor("admin"), timezone.now()
        with acting(actor):
            row = {"email": "new@acme.test", "role": Role.objects.get(name="sales").pk}
            invited = create_users(actor=actor, rows=Rows.of(Person, [row]), now=now).one
            rows = [
                {"id": firms.acme.users["sales"]},
                {"id": invited, "expected_version": 7},
            ]
            outcome = deactivate_users(actor=actor, rows=Rows.of(Person, rows), now=now)
            assert outcome.ids == {}
            assert {place: faults[0].code for place, faults in outcome.refused.items()} == {1: "stale"}
            assert Person.objects.get(pk=firms.acme.users["sales"]).is_active
            outcome = deactivate_users(actor=actor, rows=Rows.of(Person, rows), now=now, all_or_none=False)
            assert set(outcome.ids) == {0}
