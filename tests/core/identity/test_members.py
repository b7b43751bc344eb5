"""Members of a company, through the API and the operations."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.utils import timezone

from core.changes import Rows
from core.changes.models import ChangeLog
from core.identity.models import Company, Membership, Person, User
from core.identity.operations import create_users, update_users
from core.kernel.errors import Forbidden
from core.kernel.transactions import unit_of_work
from core.tenancy.actors import Actor, Rights
from core.tenancy.context import system_context
from tests.worlds import acting


def codes(answer):
    return {error["code"] for error in answer.json()["errors"]}


class TestCreateUsers:
    def test_invites_a_person_who_is_no_member_yet(self, firms):
        role = firms.acme.role("sales").pk
        answer = firms.acme.api("admin").post(
            "/users/",
            {
                "email": "New@Acme.test",
                "first_name": "Nina",
                "role": str(role),
                "manager": str(firms.acme.users["manager"]),
            },
        )
        assert answer.status_code == 201
        body = answer.json()
        assert (body["email"], body["full_name"]) == ("new@acme.test", "Nina")
        assert (body["state"], body["is_active"], body["last_login"]) == ("invited", False, None)
        assert body["manager"] == str(firms.acme.users["manager"])
        with system_context("test"), unit_of_work():
            assert not User.objects.filter(email="new@acme.test").exists()

    def test_takes_many_with_the_same_number_of_statements(self, firms, django_assert_max_num_queries):
        admin, role = firms.acme.actor("admin"), firms.acme.role("sales").pk
        people = [{"email": f"p{number}@acme.test", "role": role} for number in range(300)]
        with acting(admin), django_assert_max_num_queries(14):
            made = create_users(actor=admin, rows=Rows.of(Person, people), now=timezone.now())
        assert len(made.ids) == 300
        with acting(admin):
            assert Person.objects.count() == 305

    def test_says_of_each_row_what_is_wrong_with_it(self, firms):
        admin, role = firms.acme.actor("admin"), firms.acme.role("sales").pk
        rows = [
            {"email": "good@acme.test", "role": role},
            {"email": "no address", "role": role},
            {"email": "sales@acme.test", "role": role},
            {"email": "x@acme.test", "role": firms.globex.role("sales").pk},
            {"email": "y@acme.test", "role": role, "manager": firms.globex.users["manager"]},
            {"email": "Good@acme.test", "role": role},
            {"email": "z@acme.test", "role": None},
        ]
        with acting(admin):
            made = create_users(
                actor=admin, rows=Rows.of(Person, rows), now=timezone.now(), all_or_none=False
            )
        assert set(made.ids) == {0}
        assert {place: faults[0].code for place, faults in made.refused.items()} == {
            1: "not_an_email",
            2: "taken",
            3: "does_not_exist",
            4: "does_not_exist",
            5: "taken",
            6: "required",
        }

    def test_writes_nothing_when_one_row_is_refused_and_all_must_go(self, firms):
        admin, role = firms.acme.actor("admin"), firms.acme.role("sales").pk
        rows = [{"email": "good@acme.test", "role": role}, {"email": "bad", "role": role}]
        with acting(admin):
            made = create_users(actor=admin, rows=Rows.of(Person, rows), now=timezone.now())
            assert made.ids == {}
            assert not Person.objects.filter(email="good@acme.test").exists()
        with system_context("test"), unit_of_work():
            assert not User.objects.filter(email="good@acme.test").exists()

    def test_gives_nobody_more_than_the_giver_has(self, firms):
        viewer = firms.acme.actor("viewer")
        limited = Actor(
            viewer.company_id,
            viewer.user_id,
            viewer.membership_id,
            Rights(frozenset({"manage_users", "read", "analytics"}), "all"),
        )
        for name, is_allowed in (("viewer", True), ("sales", False), ("admin", False)):
            rows = Rows.of(Person, [{"email": f"{name}@x.example", "role": firms.acme.role(name).pk}])
            with acting(limited):
                made = create_users(actor=limited, rows=rows, now=timezone.now())
            assert bool(made.ids) is is_allowed
        with acting(limited):
            row = {"id": firms.acme.users["admin"], "is_active": False}
            touched = update_users(actor=limited, rows=Rows.of(Person, [row]), now=timezone.now())
        assert touched.refused[0][0].code == "beyond_own_rights"

    @pytest.mark.parametrize("role", ["manager", "sales", "viewer"])
    def test_is_for_who_may_manage_users(self, firms, role):
        api = firms.acme.api(role)
        body = {"email": "new@acme.test", "role": str(firms.acme.role("viewer").pk)}
        user = firms.acme.users["both"]
        assert api.post("/users/", body).status_code == 403
        assert api.patch(f"/users/{user}/", {"first_name": "X"}).status_code == 403
        assert api.delete(f"/users/{user}/").status_code == 403
        actor = firms.acme.actor(role)
        with acting(actor), pytest.raises(Forbidden):
            create_users(actor=actor, rows=Rows.of(Person, []), now=timezone.now())


class TestUpdateUsers:
    def test_changes_names_role_and_manager_and_logs_both(self, firms):
        api, user = firms.acme.api("admin"), firms.acme.users["sales"]
        before = api.get(f"/users/{user}/").json()
        changes = {
            "first_name": "Sal",
            "role": str(firms.acme.role("viewer").pk),
            "manager": str(firms.acme.users["admin"]),
        }
        body = api.patch(f"/users/{user}/", changes).json()
        assert {name: body[name] for name in changes} == changes
        assert body["version"] == before["version"] + 1
        with acting(firms.acme.actor("admin")):
            [entry] = ChangeLog.objects.filter(entity_type="user", action="update", entity_id=user)
            assert entry.new_values == {"old": {"first_name": "Sales"}, "new": {"first_name": "Sal"}}
            membership = Membership.objects.get(user_id=user)
            [entry] = ChangeLog.objects.filter(entity_id=membership.pk, action="update")
            assert set(entry.changed_fields) == {"role", "manager"}

    def test_moves_the_version_when_only_a_name_changed(self, firms):
        api, user = firms.acme.api("admin"), firms.acme.users["sales"]
        first = api.get(f"/users/{user}/")
        assert (
            api.patch(f"/users/{user}/", {"first_name": "A"}, **{"If-Match": first["ETag"]}).status_code
            == 200
        )
        stale = api.patch(f"/users/{user}/", {"first_name": "B"}, **{"If-Match": first["ETag"]})
        assert (stale.status_code, stale.json()["code"]) == (412, "stale")
        assert api.get(f"/users/{user}/").json()["first_name"] == "A"

    def test_leaves_no_trace_of_what_is_already_so(self, firms):
        api, user = firms.acme.api("admin"), firms.acme.users["sales"]
        before = api.get(f"/users/{user}/").json()
        assert api.patch(f"/users/{user}/", {"first_name": "Sales"}).json()["version"] == before["version"]

    def test_does_not_rename_a_person_who_is_elsewhere_too(self, firms):
        answer = firms.acme.api("admin").patch(
            f"/users/{firms.acme.users['both']}/", {"email": "mine@acme.test", "first_name": "Mine"}
        )
        assert answer.status_code == 400
        assert codes(answer) == {"not_editable"}

    @pytest.mark.parametrize("email", ["sales@globex.test", "nobody@globex.test", "manager@acme.test"])
    def test_gives_nobody_an_address_and_does_not_tell_whose_it_is(self, firms, email):
        answer = firms.acme.api("admin").patch(f"/users/{firms.acme.users['sales']}/", {"email": email})
        assert codes(answer) == {"not_editable"}

    def test_cannot_touch_people_of_another_company(self, firms):
        api = firms.acme.api("admin")
        for user in (firms.globex.users["sales"], uuid4()):
            assert api.get(f"/users/{user}/").status_code == 404
            assert api.patch(f"/users/{user}/", {"first_name": "X"}).status_code == 404
            assert api.delete(f"/users/{user}/").status_code == 404

    def test_lets_nobody_be_below_themselves(self, firms):
        api, users = firms.acme.api("admin"), firms.acme.users
        assert api.patch(f"/users/{users['sales']}/", {"manager": str(users["manager"])}).status_code == 200
        for manager in ("sales", "manager"):
            answer = api.patch(f"/users/{users['manager']}/", {"manager": str(users[manager])})
            assert codes(answer) == {"circle"}

    def test_keeps_the_last_admin(self, firms):
        api, admin = firms.acme.api("admin"), firms.acme.users["admin"]
        demoted = api.patch(f"/users/{admin}/", {"role": str(firms.acme.role("viewer").pk)})
        assert codes(demoted) == {"last_admin"}
        assert codes(api.patch(f"/users/{admin}/", {"is_active": False})) == {"last_admin"}
        assert codes(api.delete(f"/users/{admin}/")) == {"last_admin"}
        assert api.get("/auth/me/").status_code == 200

    def test_keeps_one_of_two_admins_who_leave_together(self, firms):
        actor = firms.acme.actor("admin")
        admin_role = firms.acme.role("admin").pk
        both = [firms.acme.users["admin"], firms.acme.users["manager"]]
        with acting(actor):
            now = timezone.now()
            promoted = Rows.of(Person, [{"id": both[1], "role": admin_role}])
            update_users(actor=actor, rows=promoted, now=now).raise_if_refused()
            leaving = Rows.of(Person, [{"id": user, "is_active": False} for user in both])
            outcome = update_users(actor=actor, rows=leaving, now=now, all_or_none=False)
        assert set(outcome.ids) == {0}
        assert outcome.refused[1][0].code == "last_admin"

    def test_does_not_count_an_admin_whose_account_is_off(self, firms):
        actor = firms.acme.actor("admin")
        with acting(actor):
            row = {"id": firms.acme.users["manager"], "role": firms.acme.role("admin").pk}
            update_users(actor=actor, rows=Rows.of(Person, [row]), now=timezone.now()).raise_if_refused()
        with system_context("test"), unit_of_work():
            User.objects.filter(pk=firms.acme.users["manager"]).update(is_active=False)
        assert codes(firms.acme.api("admin").delete(f"/users/{actor.user_id}/")) == {"last_admin"}

    def test_deleting_takes_the_place_away_and_keeps_the_person(self, firms):
        api, user = firms.acme.api("admin"), firms.acme.users["sales"]
        assert api.delete(f"/users/{user}/").status_code == 204
        assert api.get(f"/users/{user}/").json()["is_active"] is False

    def test_outdates_cached_rights(self, firms):
        def version() -> int:
            with system_context("test"), unit_of_work():
                return Company.objects.get(slug="acme").rights_version

        before = version()
        firms.acme.api("admin").patch(
            f"/users/{firms.acme.users['sales']}/", {"role": str(firms.acme.role("viewer").pk)}
        )
        assert version() > before
