"""Signing in, staying, leaving."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from core.changes import Rows
from core.changes.models import ChangeLog
from core.identity.models import AuthSession, Company, Membership, Person, Role, User
from core.identity.operations import change_password, refresh, sign_in, update_roles, update_users
from core.identity.queries import find_actor_by_access_token
from core.kernel.errors import DomainError, NotSignedIn
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from tests.worlds import PASSWORD, Api, World, acting


def login(email: str, password: str = PASSWORD, **more: str) -> Any:
    return Api().post("/auth/login/", {"email": email, "password": password, **more})


def log_of(firm: World, action: str) -> list[Any]:
    with acting(firm.actor("admin")):
        return list(ChangeLog.objects.filter(action=action).select_related("context").order_by("id"))


class TestLogin:
    def test_answers_tokens_user_and_company(self, firms):
        body = login(" Sales@ACME.test ").json()
        assert set(body) == {"access", "refresh", "expires_in", "user", "company", "device"}
        assert body["expires_in"] == 600
        assert body["user"]["email"] == "sales@acme.test"
        assert body["company"] == {"id": str(firms.acme.company.id), "name": "Acme", "slug": "acme"}
        assert Api(body["access"]).get("/auth/me/").json()["role"] == "sales"

    def test_is_not_cached(self, firms):
        assert login("sales@acme.test")["Cache-Control"] == "no-store"

    def test_enters_the_company_that_is_asked_for(self, firms):
        for slug in ("acme", "globex"):
            assert login("both@people.test", company=slug).json()["company"]["slug"] == slug

    def test_refuses_a_company_of_others(self, firms):
        answer = login("sales@acme.test", company="globex")
        assert (answer.status_code, answer.json()["code"]) == (403, "not_a_member")

    def test_answers_wrong_unknown_and_inactive_alike(self, firms):
        with system_context("test"), unit_of_work():
            User.objects.filter(email="viewer@acme.test").update(is_active=False)
        answers = [
            login("sales@acme.test", "wrong password"),
            login("nobody@acme.test", "wrong password"),
            login("viewer@acme.test"),
            login("sales@acme.test", ""),
        ]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 400]
        bodies = [answer.json() for answer in answers[:3]]
        for body in bodies:
            del body["correlation_id"]
        assert bodies[0] == bodies[1] == bodies[2]
        assert [sorted(answer.headers) for answer in answers[:3]] == [sorted(answers[0].headers)] * 3

    def test_does_the_same_work_for_wrong_unknown_and_inactive(
        self, firms, settings, monkeypatch, django_assert_num_queries
    ):
        """Time follows work: one hash each, and the same number of statements."""
        settings.PASSWORD_HASHERS = ["core.identity.hashers.Argon2idHasher"]
        with system_context("test"), unit_of_work():
            for email in ("sales@acme.test", "viewer@acme.test"):
                user = User.objects.get(email=email)
                user.set_password(PASSWORD)
                user.is_active = email.startswith("sales")
                user.save()
        hashes: list[str] = []
        from core.identity.hashers import Argon2idHasher

        for name in ("encode", "verify"):
            original = getattr(Argon2idHasher, name)

            def counted(self, *args, _original=original, _name=name):
                hashes.append(_name)
                return _original(self, *args)

            monkeypatch.setattr(Argon2idHasher, name, counted)
        work = []
        for email in ("sales@acme.test", "nobody@acme.test", "viewer@acme.test"):
            hashes.clear()
            connection.force_debug_cursor = True
            connection.queries_log.clear()
            assert login(email, "wrong password").status_code == 401
            work.append((len(hashes), len(connection.queries_log)))
        connection.force_debug_cursor = False
        assert work[0][0] == 1
        assert work == [work[0]] * 3

    def test_is_kept_in_the_log_with_person_and_address(self, firms):
        login("sales@acme.test")
        login("sales@acme.test", "wrong password")
        [entry] = [item for item in log_of(firms.acme, "login") if item.entity_name == "sales@acme.test"]
        assert entry.context.actor_id == firms.acme.users["sales"]
        assert entry.context.ip == "127.0.0.1"
        [failure] = log_of(firms.acme, "login_failed")
        assert failure.entity_id == firms.acme.users["sales"]
        assert log_of(firms.globex, "login_failed") == []

    def test_forgets_what_was_typed_for_nobody(self, firms):
        login("my-secret-password@nowhere.example", "x")
        with system_context("test"), unit_of_work():
            entry = ChangeLog.objects.filter(action="login_failed").latest("id")
        assert (entry.entity_id, entry.entity_name, entry.new_values) == (None, None, None)

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ([], "not_an_object"),
            ({"email": "a@b.example"}, "required"),
            ({"email": "a@b.example", "password": "x", "otp": "1"}, "unknown_field"),
            ({"email": "no address", "password": "x"}, "not_an_email"),
            ({"email": 5, "password": ["x"]}, "invalid"),
            ({"email": "a@b.example", "password": "ä" * 513}, "too_long"),
            ({"email": "a\x00@b.example", "password": "x"}, "invalid_characters"),
            ({"email": "a\ud800@b.example", "password": "x"}, "invalid_characters"),
        ],
    )
    def test_refuses_what_is_no_sign_in(self, db, body, code):
        answer = Api().post("/auth/login/", body)
        assert answer.status_code == 400
        assert code in {error["code"] for error in answer.json()["errors"]}

    def test_takes_a_password_of_1024_bytes(self, firms):
        long = "ä" * 512
        with system_context("test"), unit_of_work():
            user = User.objects.get(email="sales@acme.test")
            user.set_password(long)
            user.save()
        assert login("sales@acme.test", long).status_code == 200


def replaced(firm: World, who: str, **values: Any) -> None:
    admin = firm.actor("admin")
    with acting(admin):
        row = {"id": firm.users[who], **values}
        update_users(actor=admin, rows=Rows.of(Person, [row]), now=timezone.now()).raise_if_refused()


def _leave(firm: World, api: Api) -> None:
    assert api.post("/auth/logout/").status_code == 204


def _lose_place(firm: World, api: Api) -> None:
    replaced(firm, "sales", is_active=False)


def _account_off(firm: World, api: Api) -> None:
    with system_context("test"), unit_of_work():
        User.objects.filter(pk=firm.users["sales"]).update(is_active=False)


def _company_off(firm: World, api: Api) -> None:
    with system_context("test"), unit_of_work():
        Company.objects.filter(pk=firm.company.pk).update(is_active=False)


def _password_elsewhere(firm: World, api: Api) -> None:
    other = firm.api("sales")
    body = {"current_password": PASSWORD, "new_password": "another long secret"}
    assert other.post("/auth/change-password/", body).status_code == 204
    assert other.get("/auth/me/").status_code == 200, "the session that changed it goes on"


ENDINGS = [_leave, _lose_place, _account_off, _company_off, _password_elsewhere]


def outlives(firm: World, ending: Callable[[World, Api], None]) -> set[str]:
    """What of a session still works after its end, or is refused for another reason."""
    body = login(firm.email("sales")).json()
    api = Api(body["access"])
    assert api.get("/auth/me/").status_code == 200
    ending(firm, api)
    answer = api.get("/auth/me/")
    found = set()
    if (answer.status_code, answer.json().get("code")) != (401, "session_ended"):
        found.add("access token")
    if Api().post("/auth/refresh/", {"refresh": body["refresh"]}).status_code != 401:
        found.add("refresh token")
    return found


LISTED, REFUSED = "/roles/", "/roles/?nope=1"


def answers_after_its_end(firm: World, ending: Callable[[World, Api], None], path: str) -> tuple[int, int]:
    """The first two answers of a session that this process knows, after its end. Needs transactions that commit."""
    api = firm.api("sales")
    assert api.get(LISTED).status_code == 200
    ending(firm, api)
    return api.get(path).status_code, api.get(path).status_code


class TestSession:
    @pytest.mark.parametrize("ending", ENDINGS)
    def test_ends_at_once_with_all_its_tokens(self, firms, ending: Callable[[World, Api], None]):
        assert outlives(firms.acme, ending) == set()

    def test_does_not_come_back_with_the_place(self, firms):
        api = firms.acme.api("sales")
        replaced(firms.acme, "sales", is_active=False)
        replaced(firms.acme, "sales", is_active=True)
        assert api.get("/auth/me/").status_code == 401
        assert firms.acme.api("sales").get("/auth/me/").status_code == 200

    def test_has_the_rights_of_this_moment(self, firms):
        api = firms.acme.api("sales")
        before = api.get("/auth/me/").json()
        assert (before["role"], before["record_scope"]) == ("sales", "own")
        replaced(firms.acme, "sales", role=firms.acme.role("viewer").pk)
        assert api.get("/auth/me/").json()["permissions"] == ["analytics", "read"]
        admin = firms.acme.actor("admin")
        with acting(admin):
            rows = Rows.of(Role, [{"id": firms.acme.role("viewer").pk, "permissions": ["read:role"]}])
            update_roles(actor=admin, rows=rows, now=timezone.now()).raise_if_refused()
        assert api.get("/auth/me/").json()["permissions"] == ["read:role"]
        assert api.get("/roles/").status_code == 200
        assert api.get("/users/").status_code == 403

    def test_costs_one_statement_to_read(self, firms, django_assert_num_queries):
        token = firms.acme.api("sales").token
        find_actor_by_access_token(token, timezone.now())
        with system_context("test"), unit_of_work(), django_assert_num_queries(1):
            find_actor_by_access_token(token, timezone.now())

    @pytest.mark.parametrize("ending", [_leave, _lose_place, _account_off, _company_off])
    @pytest.mark.parametrize("path", [LISTED, REFUSED, "/roles/nobody/", "/roles/?cursor="])
    def test_that_has_answered_before_answers_nothing_after_its_end(
        self, committed_firms, ending: Callable[[World, Api], None], path: str
    ):
        assert answers_after_its_end(committed_firms.acme, ending, path) == (401, 401)

    def test_that_has_written_before_writes_nothing_after_its_end(self, committed_firms):
        firm = committed_firms.acme
        api = firm.api("admin")
        assert api.post("/roles/", {"name": "before"}).status_code == 201
        _leave(firm, api)
        assert api.post("/roles/", {"name": "after"}).status_code == 401
        assert api.patch(f"/roles/{firm.role('viewer').pk}/", {"name": "after"}).status_code == 401
        assert api.delete(f"/roles/{firm.role('viewer').pk}/").status_code == 401
        names = {role["name"] for role in firm.api("admin").get("/roles/").json()["results"]}
        assert names == {"admin", "manager", "sales", "viewer", "before"}

    def test_that_has_answered_before_refuses_by_the_rights_of_this_moment(self, committed_firms):
        firms = committed_firms
        api = firms.acme.api("viewer")
        assert api.get("/users/").status_code == 200
        admin = firms.acme.actor("admin")
        for permissions, status in ((["read:role"], 403), (["read"], 200)):
            with acting(admin):
                rows = Rows.of(Role, [{"id": firms.acme.role("viewer").pk, "permissions": permissions}])
                update_roles(actor=admin, rows=rows, now=timezone.now()).raise_if_refused()
            assert api.get("/users/").status_code == status

    def test_works_in_another_company_of_the_same_person(self, firms):
        api = Api(login("both@people.test", company="acme").json()["access"])
        assert api.get("/auth/me/").json()["company"]["slug"] == "acme"
        assert api.get("/auth/me/", **{"X-Company": "globex"}).json()["company"]["slug"] == "globex"

    @pytest.mark.parametrize("slug", ["globex", "nowhere", "", "' OR 1=1 --", "a" * 5000])
    def test_refuses_companies_that_are_not_theirs_alike(self, firms, slug):
        answer = firms.acme.api("sales").get("/auth/me/", **{"X-Company": slug})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_a_member")

    def test_moves_to_another_company_and_ends_here(self, firms):
        api = Api(login("both@people.test", company="acme").json()["access"])
        answer = api.post("/auth/switch-company/", {"company": "globex"})
        assert answer.json()["company"]["slug"] == "globex"
        assert Api(answer.json()["access"]).get("/auth/me/").json()["company"]["slug"] == "globex"
        assert api.get("/auth/me/").status_code == 401

    def test_does_not_move_to_a_company_of_others(self, firms):
        api = firms.acme.api("sales")
        answer = api.post("/auth/switch-company/", {"company": "globex"})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_a_member")
        assert api.get("/auth/me/").status_code == 200


def wrongs_of_reuse(firm: World) -> set[str]:
    """What goes wrong when a spent refresh token comes again: it must end its whole family, and no other."""
    first = login(firm.email("sales")).json()
    others = {"another sign-in of the person": firm.api("sales"), "another person": firm.api("viewer")}
    second = Api().post("/auth/refresh/", {"refresh": first["refresh"]}).json()
    replay = Api().post("/auth/refresh/", {"refresh": first["refresh"]})
    again = Api().post("/auth/refresh/", {"refresh": second["refresh"]})
    found = set()
    if (replay.status_code, replay.json().get("code")) != (401, "refresh_reused"):
        found.add("the spent token is taken")
    if (again.status_code, again.json().get("code")) != (401, "session_ended"):
        found.add("the next refresh token lives on")
    for name, pair in (("first", first), ("next", second)):
        if Api(pair["access"]).get("/auth/me/").status_code != 401:
            found.add(f"the {name} access token lives on")
    return found | {
        f"{name} is ended" for name, api in others.items() if api.get("/auth/me/").status_code != 200
    }


class TestRefresh:
    def test_answers_the_next_pair(self, firms):
        first = login("sales@acme.test").json()
        second = Api().post("/auth/refresh/", {"refresh": first["refresh"]}).json()
        assert set(second) == set(first) - {"device"}
        assert second["refresh"] != first["refresh"]
        assert Api(second["access"]).get("/auth/me/").status_code == 200
        assert Api().post("/auth/refresh/", {"refresh": second["refresh"]}).status_code == 200

    def test_of_a_spent_token_ends_the_whole_session(self, firms):
        assert wrongs_of_reuse(firms.acme) == set()
        assert len(log_of(firms.acme, "refresh_reused")) == 1
        with system_context("test"), unit_of_work():
            ended = AuthSession.objects.get(revoked_reason="refresh_reused")
        assert ended.user_id == firms.acme.users["sales"]

    def test_ends_after_fourteen_days(self, firms):
        body = login("sales@acme.test").json()
        with pytest.raises(NotSignedIn) as caught:
            refresh(token=body["refresh"], now=timezone.now() + timedelta(days=14, seconds=1))
        assert caught.value.code == "token_expired"

    def test_kills_the_family_each_of_a_hundred_times(self, firms):
        now = timezone.now()
        killed = 0
        for _ in range(100):
            first = sign_in(email="sales@acme.test", password=PASSWORD, now=now)
            second = refresh(token=first.refresh, now=now)
            for token in (first.refresh, second.refresh):
                with pytest.raises(NotSignedIn):
                    refresh(token=token, now=now)
            with pytest.raises(NotSignedIn):
                find_actor_by_access_token(second.access, now)
            killed += 1
        assert killed == 100

    def test_has_one_winner_among_rivals(self, committed_firms):
        token = login("sales@acme.test").json()["refresh"]
        outcomes = race(8, lambda _: refresh(token=token, now=timezone.now()))
        assert len([item for item in outcomes if not isinstance(item, Exception)]) == 1
        codes = {item.code for item in outcomes if isinstance(item, DomainError)}
        assert codes <= {"refresh_reused", "session_ended"}
        winner = next(item for item in outcomes if not isinstance(item, Exception))
        assert Api(winner.access).get("/auth/me/").status_code == 401, (
            "a replay ended the winner's session too"
        )


def race(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run `work` in that many threads at once; answers results and exceptions."""
    gate = threading.Barrier(count)

    def run(number: int) -> Any:
        try:
            gate.wait(timeout=30)
            return work(number)
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


class TestRevocation:
    def test_lets_no_use_succeed_after_it_committed(self, committed_firms):
        api = committed_firms.acme.api("sales")
        is_revoked = threading.Event()
        late: list[int] = []

        def use(number: int) -> int:
            if number == 0:
                replaced(committed_firms.acme, "sales", is_active=False)
                is_revoked.set()
                return 0
            for _ in range(25):
                was_revoked = is_revoked.is_set()
                try:
                    find_actor_by_access_token(api.token, timezone.now())
                except NotSignedIn:
                    continue
                if was_revoked:
                    late.append(number)
            return 1

        assert not [item for item in race(9, use) if isinstance(item, Exception)]
        assert late == []
        assert api.get("/auth/me/").status_code == 401


class TestChangePassword:
    def test_needs_the_current_one(self, firms):
        api = firms.acme.api("sales")
        body = {"current_password": "not this one", "new_password": "another long secret"}
        answer = api.post("/auth/change-password/", body)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["code"] == "wrong_password"
        assert login("sales@acme.test").status_code == 200

    @pytest.mark.parametrize("weak", ["short", "1234567890123", "password1234", "sales@acme.test"])
    def test_refuses_weak_ones(self, firms, weak):
        body = {"current_password": PASSWORD, "new_password": weak}
        answer = firms.acme.api("sales").post("/auth/change-password/", body)
        assert answer.status_code == 400
        assert {error["path"] for error in answer.json()["errors"]} == {"new_password"}

    def test_makes_the_old_one_useless(self, firms):
        actor = find_actor_by_access_token(firms.acme.api("sales").token, timezone.now())
        change_password(
            actor, current_password=PASSWORD, new_password="another long secret", now=timezone.now()
        )
        assert login("sales@acme.test").status_code == 401
        assert login("sales@acme.test", "another long secret").status_code == 200
        assert len(log_of(firms.acme, "password_changed")) == 1

    def test_cannot_be_guessed_by_who_stole_a_session(self, firms):
        api = firms.acme.api("sales")
        body = {"current_password": "a guess", "new_password": "another long secret"}
        answers = [api.post("/auth/change-password/", body).status_code for _ in range(8)]
        assert answers[:5] == [400] * 5
        assert set(answers[5:]) == {429}


class TestProfile:
    def test_lists_the_companies_one_may_enter(self, firms):
        api = Api(login("both@people.test", company="acme").json()["access"])
        assert [item["slug"] for item in api.get("/users/me/").json()["companies"]] == ["acme", "globex"]
        assert [item["slug"] for item in firms.acme.api("sales").get("/auth/me/").json()["companies"]] == [
            "acme"
        ]

    def test_lets_people_change_their_own_names_and_nothing_else(self, firms):
        api = firms.acme.api("viewer")
        answer = api.patch("/users/me/", {"first_name": "Vera"})
        assert answer.json()["user"]["full_name"] == "Vera Acme"
        refused = api.patch("/users/me/", {"email": "x@y.example", "is_platform_staff": True})
        assert {error["code"] for error in refused.json()["errors"]} == {"unknown_field"}

    def test_needs_a_sign_in(self, db):
        answer = Api().get("/auth/me/")
        assert (answer.status_code, answer["Content-Type"]) == (401, "application/problem+json")


def test_members_of_other_companies_are_not_in_a_companys_view(firms):
    with acting(firms.acme.actor("admin")):
        seen = set(User.objects.values_list("email", flat=True))
        assert Membership.objects.count() == 5
    assert {email for email in seen if "globex" in email} == set()


def test_refused_access_is_kept_in_the_log(firms):
    answer = firms.acme.api("sales").post("/roles/?q=secret", {"name": "X", "permissions": ["*"]})
    assert answer.status_code == 403
    [entry] = log_of(firms.acme, "permission_denied")
    assert (entry.description, entry.context.actor_id) == ("POST /api/v1/roles/", firms.acme.users["sales"])
