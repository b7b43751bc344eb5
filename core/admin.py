"""People, roles and keys in the back office."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin

from core.backoffice.entity_admin import EntityAdmin
from core.identity.models import ApiKey, Person, Role


@admin.register(Person)
class PersonAdmin(EntityAdmin):
    """Members of the company. Removing one makes them inactive: what they did stays theirs."""

    section, icon, position = "Setup", "group", 10
    columns = ("full_name", "email", "role", "manager", "is_active", "last_login")
    filters = ("role", "manager", "is_active")
    key_facts = ("email", "role", "manager", "is_active", "last_login")
    groups = (("Person", ("email", "first_name", "last_name", "role", "manager", "is_active")),)
    related = ()
    logged_as = "membership"

    def logged_id(self, record: Any) -> UUID:
        return record.membership_id


@admin.register(Role)
class RoleAdmin(EntityAdmin):
    section, icon, position = "Setup", "shield_person", 20
    columns = ("name", "record_scope", "permissions", "is_builtin")
    related = ("user.role",)


@admin.register(ApiKey)
class ApiKeyAdmin(EntityAdmin):
    """Keys are made by the API, which shows the secret once; here they are seen, narrowed and revoked."""

    section, icon, position = "Setup", "key", 25
    columns = ("name", "user", "prefix", "scopes", "expires_at", "last_used_at", "revoked_at")
    related = ()
