"""Permissions of a role as a table of boxes, written by the operation the API calls."""

from __future__ import annotations

import re
from typing import Any

import pytest

from core.changes.models import ChangeLog
from core.identity.models import Role
from tests.backoffice.conftest import text_of
from tests.worlds import World


def url(world: World, name: str) -> str:
    return f"/admin/core/role/{world.role(name).pk}/change/"


def boxes(page: str) -> dict[str, bool]:
    """Word -> whether its box is ticked."""
    found = re.findall(r'<input type="checkbox" name="permissions" value="([^"]+)"([^>]*)>', page)
    return {word: " checked" in rest for word, rest in found}


def filled(world: World, name: str, /, **changed: Any) -> dict[str, Any]:
    """What a browser sends of the form as it stands, but for `changed`."""
    role = world.role(name)
    shown = {"name": role.name, "record_scope": role.record_scope}
    hidden = {f"initial-{key}": value for key, value in shown.items()}
    permissions = {"initial-permissions": ", ".join(role.permissions), "permissions": role.permissions}
    return {**shown, **hidden, **permissions, **changed}


@pytest.mark.django_db
class TestPermissionMatrix:
    def test_has_a_box_for_each_word_and_ticks_those_that_are_held(self, acme, office):
        page = text_of(office(acme).get(url(acme, "sales")))

        assert {word for word, held in boxes(page).items() if held} == {
            "create",
            "read",
            "update",
            "analytics",
        }
        assert {"*", "manage_users", "delete", "read:lead", "update:deal"} <= set(boxes(page))
        assert "create:deal_stage_history" not in boxes(page), "nobody makes a stage's history"
        assert "Own and those of the people below" in page

    def test_is_written_as_the_api_would(self, acme, globex, office):
        sent = filled(
            acme,
            "sales",
            permissions=["read", "create:lead", "update:lead"],
            record_scope="team",
            name="callers",
        )
        assert office(acme).post(url(acme, "sales"), sent).status_code == 302

        with acme.acting():
            role = Role.objects.get(name="callers")
        assert sorted(role.permissions) == ["create:lead", "read", "update:lead"]
        assert role.record_scope == "team"
        assert globex.role("sales").record_scope == "own"

    def test_makes_a_new_role(self, acme, office):
        sent = {"name": "auditors", "record_scope": "all", "permissions": ["read", "analytics"]}
        assert office(acme).post("/admin/core/role/add/", sent).status_code == 302
        assert set(acme.role("auditors").permissions) == {"read", "analytics"}

    def test_may_tick_nothing(self, acme, office):
        assert (
            office(acme).post(url(acme, "viewer"), filled(acme, "viewer", permissions=[])).status_code == 302
        )
        assert acme.role("viewer").permissions == []

    def test_counts_another_order_as_no_change(self, acme, office):
        before = acme.role("sales")
        sent = filled(acme, "sales", permissions=sorted(before.permissions, reverse=True))
        assert office(acme).post(url(acme, "sales"), sent).status_code == 302
        assert acme.role("sales").permissions == before.permissions
        with acme.acting():
            assert not ChangeLog.objects.filter(entity_id=before.pk, action="update").exists()

    def test_says_at_the_field_what_is_refused(self, acme, office):
        answer = office(acme).post(
            url(acme, "sales"), filled(acme, "sales", permissions=["read", "fly:lead"])
        )

        assert "permissions" in answer.context["adminform"].form.errors
        assert boxes(text_of(answer))["fly:lead"], "what was sent is still there to be unticked"
        assert "fly:lead" not in acme.role("sales").permissions

    def test_keeps_the_last_admin(self, acme, office):
        answer = office(acme).post(url(acme, "admin"), filled(acme, "admin", permissions=["read"]))

        assert "last active admin" in str(answer.context["adminform"].form.errors["permissions"])
