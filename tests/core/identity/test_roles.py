"""Roles: built-in, made, changed, removed."""

from __future__ import annotations

import pytest
from django.utils import timezone

from core.changes import Rows
from core.identity.models import Role
from core.identity.operations import create_roles, delete_roles, update_roles
from core.identity.rights import covers, is_within, narrowed
from core.tenancy.actors import Actor, Rights
from tests.core.identity.test_members import codes
from tests.worlds import acting


class TestBuiltinRoles:
    def test_are_the_four_of_every_company(self, firms):
        found = firms.globex.api("admin").get("/roles/").json()["results"]
        assert {(item["name"], item["record_scope"], item["is_builtin"]) for item in found} == {
            ("admin", "all", True),
            ("manager", "team", True),
            ("sales", "own", True),
            ("viewer", "all", True),
        }

    def test_can_be_edited_but_not_removed(self, firms):
        api, role = firms.acme.api("admin"), firms.acme.role("viewer")
        edited = api.patch(f"/roles/{role.pk}/", {"permissions": ["read:user"]})
        assert edited.json()["permissions"] == ["read:user"]
        assert codes(api.delete(f"/roles/{role.pk}/")) == {"builtin"}


class TestRoles:
    def test_are_made_and_removed(self, firms):
        api = firms.acme.api("admin")
        made = api.post(
            "/roles/", {"name": "Auditor", "permissions": ["read", "update:role"], "record_scope": "all"}
        )
        assert made.status_code == 201
        assert made.json()["is_builtin"] is False
        assert api.delete(f"/roles/{made.json()['id']}/").status_code == 204
        assert api.get(f"/roles/{made.json()['id']}/").status_code == 404

    def test_see_their_own_records_unless_said_otherwise(self, firms):
        made = firms.acme.api("admin").post("/roles/", {"name": "Plain"})
        assert (made.json()["record_scope"], made.json()["permissions"]) == ("own", [])

    def test_have_names_of_their_own(self, firms):
        api = firms.acme.api("admin")
        assert codes(api.post("/roles/", {"name": "ADMIN"})) == {"taken"}
        assert codes(api.post("/roles/", {"name": "  "})) == {"required"}
        assert firms.globex.api("admin").post("/roles/", {"name": "Auditor"}).status_code == 201
        assert api.post("/roles/", {"name": "Auditor"}).status_code == 201

    @pytest.mark.parametrize("word", ["fly", "read:unicorn", "manage_users:role", ":", "read:", "**"])
    def test_know_no_invented_permission(self, firms, word):
        answer = firms.acme.api("admin").post("/roles/", {"name": "X", "permissions": [word]})
        assert codes(answer) == {"not_a_permission"}

    def test_cannot_be_removed_while_somebody_has_them(self, firms):
        api = firms.acme.api("admin")
        role = api.post("/roles/", {"name": "Temp"}).json()["id"]
        user = firms.acme.users["sales"]
        assert api.patch(f"/users/{user}/", {"role": role}).status_code == 200
        assert codes(api.delete(f"/roles/{role}/")) == {"in_use"}

    def test_of_another_company_are_not_there(self, firms):
        api, role = firms.acme.api("admin"), firms.globex.role("viewer").pk
        assert api.get(f"/roles/{role}/").status_code == 404
        assert api.patch(f"/roles/{role}/", {"name": "X"}).status_code == 404
        assert api.delete(f"/roles/{role}/").status_code == 404
        actor = firms.acme.actor("admin")
        with acting(actor):
            rows = Rows.of(Role, [{"id": role, "name": "X"}])
            outcome = update_roles(actor=actor, rows=rows, now=timezone.now())
            gone = delete_roles(actor=actor, rows=Rows.of(Role, [{"id": role}]), now=timezone.now())
        assert outcome.refused[0][0].code == gone.refused[0][0].code == "not_found"

    def test_with_everything_stay_with_somebody(self, firms):
        role = firms.acme.role("admin").pk
        answer = firms.acme.api("admin").patch(f"/roles/{role}/", {"permissions": ["read", "manage_users"]})
        assert codes(answer) == {"last_admin"}

    @pytest.mark.parametrize("role", ["manager", "sales", "viewer"])
    def test_are_changed_by_who_may_manage_users_only(self, firms, role):
        api = firms.acme.api(role)
        assert api.post("/roles/", {"name": "Mine", "permissions": ["*"]}).status_code == 403
        own = firms.acme.role(role).pk
        assert api.patch(f"/roles/{own}/", {"permissions": ["*"]}).status_code == 403
        assert api.delete(f"/roles/{own}/").status_code == 403

    def test_give_nobody_more_than_the_giver_has(self, firms):
        viewer = firms.acme.actor("viewer")
        limited = Actor(
            viewer.company_id,
            viewer.user_id,
            viewer.membership_id,
            Rights(frozenset({"manage_users", "read"}), "team"),
        )
        asked = [
            {"name": "a", "permissions": ["read:user"], "record_scope": "own"},
            {"name": "b", "permissions": ["read"], "record_scope": "team"},
            {"name": "c", "permissions": ["update"], "record_scope": "own"},
            {"name": "d", "permissions": ["*"], "record_scope": "own"},
            {"name": "e", "permissions": ["read"], "record_scope": "all"},
            {"name": "f", "permissions": ["read"], "record_scope": "territory"},
        ]
        with acting(limited):
            made = create_roles(
                actor=limited, rows=Rows.of(Role, asked), now=timezone.now(), all_or_none=False
            )
            rows = Rows.of(Role, [{"id": firms.acme.role("viewer").pk, "permissions": ["read"]}])
            changed = update_roles(actor=limited, rows=rows, now=timezone.now())
        assert set(made.ids) == {0, 1}
        assert {faults[0].code for faults in made.refused.values()} == {"beyond_own_rights"}
        assert changed.refused[0][0].code == "beyond_own_rights", (
            "a role beyond one's own cannot be cut either"
        )


@pytest.mark.parametrize(
    ("held", "word", "expected"),
    [
        (["*"], "manage_users", True),
        (["read"], "read:lead", True),
        (["read:lead"], "read", False),
        (["read:lead"], "read:lead", True),
        (["manage_users"], "*", False),
        ([], "read", False),
    ],
)
def test_a_word_is_covered_by_itself_its_verb_or_everything(held, word, expected):
    assert covers(held, word) is expected


@pytest.mark.parametrize(
    ("held", "scopes", "expected"),
    [
        (["*"], ["read"], {"read"}),
        (["read", "update"], ["*"], {"read", "update"}),
        (["read:lead"], ["read"], {"read:lead"}),
        (["read"], ["read:lead"], {"read:lead"}),
        (["read"], ["update"], set()),
        (["*"], [], set()),
    ],
)
def test_scopes_narrow_to_what_both_allow(held, scopes, expected):
    assert narrowed(held, scopes) == expected


def test_territory_and_team_do_not_contain_each_other():
    for one, other in (("team", "territory"), ("territory", "team")):
        assert not is_within(Rights(frozenset({"*"}), one), ["read"], other)
        assert is_within(Rights(frozenset({"*"}), one), ["read"], "own")
