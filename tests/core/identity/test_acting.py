"""Acting for somebody else gives nobody more than they have: permissions and sight of records."""

from __future__ import annotations

import pytest
from django.utils import timezone

from core.changes import Rows
from core.identity.acting import may_act_as, require_may_act_as
from core.identity.models import Role
from core.identity.operations import create_api_key, update_roles
from core.kernel.errors import Forbidden
from core.tenancy.actors import Actor, Rights
from tests.core.identity.test_sessions import login
from tests.worlds import Api, acting


def actor_with(firm, role, permissions, scope):
    own = firm.actor(role)
    return Actor(own.company_id, own.user_id, own.membership_id, Rights(frozenset(permissions), scope))


class TestRotation:
    @pytest.mark.parametrize(
        ("scope", "status"), [("own", 403), ("team", 403), ("territory", 403), ("all", 201)]
    )
    def test_of_somebody_elses_key_gives_no_sight_of_their_records(self, firms, scope, status):
        """The attack: an admin who sees their own records alone rotates the key of one who sees all."""
        admin = firms.acme.actor("admin")
        with acting(admin):
            key = create_api_key(admin, name="All", scopes=["read"], now=timezone.now()).id
            row = {
                "id": Role.objects.get(name="viewer").pk,
                "permissions": ["read", "manage_users"],
                "record_scope": scope,
            }
            update_roles(actor=admin, rows=Rows.of(Role, [row]), now=timezone.now()).raise_if_refused()
        api = Api(login("viewer@acme.test").json()["access"])
        answer = api.post(f"/api-keys/{key}/rotate/")
        assert answer.status_code == status
        if status == 403:
            assert answer.json()["code"] == "beyond_own_rights"
        # Whoever owns it may; the other company's admin does not know it.
        assert firms.acme.api("admin").post(f"/api-keys/{key}/rotate/").status_code == 201
        assert firms.globex.api("admin").post(f"/api-keys/{key}/rotate/").status_code == 404


class TestMayActAs:
    # In each company admin > manager > sales > viewer, along `manager`.
    @pytest.mark.parametrize(
        ("scope", "person", "is_allowed"),
        [
            ("own", "manager", True),
            ("own", "sales", False),
            ("team", "sales", True),
            ("team", "viewer", False),
            ("team", "admin", False),
            ("territory", "sales", False),
            ("all", "sales", True),
            ("all", "viewer", True),
            ("all", "both", True),
        ],
    )
    def test_takes_a_scope_that_holds_theirs(self, firms, scope, person, is_allowed):
        held = ("create", "read", "update", "delete", "analytics")
        actor = actor_with(firms.acme, "manager", held, scope)
        with acting(actor):
            assert may_act_as(actor, firms.acme.users[person]) is is_allowed

    def test_takes_all_that_their_role_allows_or_what_is_named(self, firms):
        actor = actor_with(firms.acme, "manager", ("read", "manage_users"), "all")
        person = firms.acme.users["sales"]
        with acting(actor):
            assert not may_act_as(actor, person)
            assert may_act_as(actor, person, permissions=["read"])
            # Their role does not allow it, so it gives nothing.
            assert may_act_as(actor, person, permissions=["read", "delete"])
            assert not may_act_as(actor, person, permissions=["update"])

    def test_is_for_active_members_of_the_company_alone(self, firms):
        admin = firms.acme.actor("admin")
        with acting(admin):
            assert not may_act_as(admin, firms.globex.users["sales"])
            with pytest.raises(Forbidden) as caught:
                require_may_act_as(admin, firms.globex.users["sales"])
        assert caught.value.code == "beyond_own_rights"

    def test_gives_a_narrow_key_no_more_in_its_owners_name(self, firms):
        own = firms.acme.actor("admin")
        key = Actor(own.company_id, own.user_id, own.membership_id, Rights(frozenset({"read"}), "all"))
        narrowed = Actor(
            own.company_id, own.user_id, own.membership_id, key.rights, api_key_id=own.company_id
        )
        with acting(narrowed):
            assert not may_act_as(narrowed, own.user_id)
            assert may_act_as(narrowed, own.user_id, permissions=["read"])
