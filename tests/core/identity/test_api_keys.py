"""API keys: shown once, never more than their owner."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from core.changes import Rows
from core.identity.models import ApiKey, Role
from core.identity.operations import create_api_key, rotate_api_key, update_roles
from core.identity.queries import find_actor_by_api_key
from core.kernel.errors import Invalid, NotSignedIn
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from tests.core.identity.test_members import codes
from tests.core.identity.test_sessions import replaced
from tests.worlds import Api, acting


def made(firm, scopes=("read",), **more):
    answer = firm.api("admin").post("/api-keys/", {"name": "Robot", "scopes": list(scopes), **more})
    assert answer.status_code == 201
    return answer


def using(key: str) -> Api:
    return Api(key, "Api-Key")


class TestApiKey:
    def test_opens_the_door_within_its_scopes(self, firms):
        api = using(made(firms.acme, ["read:role"]).json()["key"])
        assert api.get("/roles/").status_code == 200
        assert api.get("/users/").status_code == 403
        assert api.post("/roles/", {"name": "X"}).status_code == 403
        assert api.get("/auth/me/").json()["permissions"] == ["read:role"]

    def test_is_shown_once_and_stored_hashed(self, firms):
        answer = made(firms.acme)
        body = answer.json()
        secret = body["key"].partition(".")[2]
        assert answer["Cache-Control"] == "no-store"
        shown = firms.acme.api("admin").get(f"/api-keys/{body['id']}/").content.decode()
        assert secret not in shown
        assert "secret" not in shown
        with system_context("test"), unit_of_work():
            stored = ApiKey.objects.get(pk=body["id"])
        assert secret.encode() not in bytes(stored.secret_hash)
        assert len(bytes(stored.secret_hash)) == 32

    def test_is_not_kept_for_a_replay(self, firms):
        body = {"name": "Robot", "scopes": ["read"]}
        answer = firms.acme.api("admin").post("/api-keys/", body, **{"Idempotency-Key": "same"})
        assert (answer.status_code, answer.json()["code"]) == (400, "no_idempotency_key")

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"name": "R", "scopes": ["fly"]}, "not_a_permission"),
            ({"name": "R", "scopes": []}, "required"),
            ({"name": "R"}, "required"),
            ({"name": " ", "scopes": ["read"]}, "required"),
            ({"name": "R", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}, "in_the_past"),
            ({"name": "R", "scopes": ["read"], "prefix": "mine"}, "unknown_field"),
        ],
    )
    def test_is_refused_when_it_makes_no_sense(self, firms, body, code):
        answer = firms.acme.api("admin").post("/api-keys/", body)
        assert answer.status_code == 400
        assert code in codes(answer)

    def test_cannot_make_a_key_with_more_than_itself(self, firms):
        api = using(made(firms.acme, ["read", "manage_users"]).json()["key"])
        assert codes(api.post("/api-keys/", {"name": "R", "scopes": ["update"]})) == {"beyond_own_rights"}
        assert api.post("/api-keys/", {"name": "R", "scopes": ["read"]}).status_code == 201

    def test_follows_its_owners_rights_down_at_once(self, firms):
        key = made(firms.acme, ["read", "update"]).json()["key"]
        admin = firms.acme.actor("admin")
        with acting(admin):
            role = {"id": firms.acme.role("viewer").pk, "permissions": ["*"]}
            update_roles(actor=admin, rows=Rows.of(Role, [role]), now=timezone.now()).raise_if_refused()
        replaced(firms.acme, "viewer", is_active=True)
        replaced(firms.acme, "manager", role=firms.acme.role("admin").pk)
        replaced(firms.acme, "admin", role=firms.acme.role("sales").pk)
        replaced_actor = find_actor_by_api_key(key, timezone.now())
        assert replaced_actor.rights.record_scope == "own"
        assert replaced_actor.rights.permissions == {"read", "update"}

    def test_dies_with_its_owners_place(self, firms):
        key = made(firms.acme).json()["key"]
        replaced(firms.acme, "manager", role=firms.acme.role("admin").pk)
        manager = firms.acme.api("manager")
        assert manager.delete(f"/users/{firms.acme.users['admin']}/").status_code == 204
        assert using(key).get("/roles/").status_code == 401

    def test_ends_at_once_when_it_is_revoked_and_stays_ended(self, firms):
        body = made(firms.acme).json()
        api = firms.acme.api("admin")
        assert using(body["key"]).get("/roles/").status_code == 200
        assert api.delete(f"/api-keys/{body['id']}/").status_code == 204
        assert using(body["key"]).get("/roles/").status_code == 401
        assert codes(api.patch(f"/api-keys/{body['id']}/", {"name": "Again"})) == {"revoked"}

    def test_ends_when_it_expires(self, firms):
        soon = timezone.now() + timedelta(hours=1)
        key = made(firms.acme, expires_at=soon.isoformat()).json()["key"]
        assert find_actor_by_api_key(key, soon - timedelta(seconds=1)).api_key_id
        with pytest.raises(NotSignedIn) as caught:
            find_actor_by_api_key(key, soon)
        assert caught.value.code == "key_expired"

    def test_remembers_when_it_was_used_to_the_minute(self, firms):
        key = made(firms.acme).json()["key"]
        now = timezone.now()

        def last_used():
            with system_context("test"), unit_of_work():
                return ApiKey.objects.get(prefix=key.partition(".")[0]).last_used_at

        find_actor_by_api_key(key, now)
        find_actor_by_api_key(key, now + timedelta(seconds=30))
        assert last_used() == now
        find_actor_by_api_key(key, now + timedelta(seconds=90))
        assert last_used() == now + timedelta(seconds=90)

    def test_is_no_person(self, firms):
        api = using(made(firms.acme, ["*"]).json()["key"])
        assert api.post("/auth/logout/").json()["code"] == "session_needed"
        body = {"current_password": "x", "new_password": "another long secret"}
        assert api.post("/auth/change-password/", body).json()["code"] == "session_needed"
        assert api.post("/auth/switch-company/", {"company": "acme"}).json()["code"] == "session_needed"

    def test_belongs_to_one_company(self, firms):
        api = using(made(firms.acme).json()["key"])
        assert api.get("/roles/", **{"X-Company": "acme"}).status_code == 200
        answer = api.get("/roles/", **{"X-Company": "globex"})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_a_member")
        others = firms.globex.api("admin")
        with system_context("test"), unit_of_work():
            key_id = ApiKey.objects.get().pk
        assert others.get(f"/api-keys/{key_id}/").status_code == 404
        assert others.delete(f"/api-keys/{key_id}/").status_code == 404
        assert others.post(f"/api-keys/{key_id}/rotate/").status_code == 404

    @pytest.mark.parametrize("role", ["manager", "sales", "viewer"])
    def test_is_for_who_may_manage_users(self, firms, role):
        key_id = made(firms.acme).json()["id"]
        api = firms.acme.api(role)
        assert api.post("/api-keys/", {"name": "R", "scopes": ["read"]}).status_code == 403
        assert api.delete(f"/api-keys/{key_id}/").status_code == 403
        assert api.post(f"/api-keys/{key_id}/rotate/").status_code == 403

    def test_with_one_letter_changed_is_none(self, firms):
        key = made(firms.acme).json()["key"]
        prefix, _, secret = key.partition(".")
        wrong = [
            f"{prefix}.{secret[:-1]}{'A' if secret[-1] != 'A' else 'B'}",
            f"{prefix}.",
            prefix,
            f".{secret}",
            f"{prefix}x.{secret}",
            f"{prefix}.{secret} ",
            f"{prefix}.{secret}\x7f",
            f"{prefix}.é",
            "' OR 1=1 --.x",
            "a" * 9000,
        ]
        refused = [text for text in wrong if using(text).get("/roles/").status_code == 401]
        # Space around a header's value is not part of it.
        assert set(wrong) - set(refused) == {f"{prefix}.{secret} "}


class TestRotate:
    def test_lets_both_keys_work_for_the_overlap(self, firms):
        old = made(firms.acme, ["read:role"]).json()
        answer = firms.acme.api("admin").post(f"/api-keys/{old['id']}/rotate/", {"overlap_seconds": 3600})
        new = answer.json()
        assert (new["name"], new["scopes"]) == ("Robot", ["read:role"])
        now = timezone.now()
        for key in (old["key"], new["key"]):
            assert find_actor_by_api_key(key, now).api_key_id
        later = now + timedelta(hours=2)
        assert find_actor_by_api_key(new["key"], later).api_key_id
        with pytest.raises(NotSignedIn):
            find_actor_by_api_key(old["key"], later)

    def test_refuses_a_key_that_has_ended(self, firms):
        admin, now = firms.acme.actor("admin"), timezone.now()
        with acting(admin):
            key = create_api_key(
                admin, name="R", scopes=["read"], now=now, expires_at=now + timedelta(hours=1)
            )
            with pytest.raises(Invalid):
                rotate_api_key(admin, key_id=key.id, now=now + timedelta(hours=2))

    def test_overlaps_for_a_week_at_most(self, firms):
        old = made(firms.acme).json()
        answer = firms.acme.api("admin").post(f"/api-keys/{old['id']}/rotate/", {"overlap_seconds": 604_801})
        assert codes(answer) == {"too_large"}
