"""Facts of people, roles and keys."""

from core.entities import Entity, Writes, fact, register
from core.entities.kinds import Kind
from core.identity import operations
from core.identity.rights import MANAGE_USERS

USER = register(
    Entity(
        name="user",
        plural="users",
        description="The members of the company, and those invited to it.",
        model_label="core.Person",
        facts=(
            fact("email", pii=True, key=True, search="A", required=True),
            fact("first_name", pii=True),
            fact("last_name", pii=True),
            fact("full_name", pii=True, key=True, search="A", read_only=True, meaning="name"),
            fact("role"),
            fact("manager"),
            fact("is_active"),
            fact("last_login", read_only=True, description="The last sign-in to this company."),
            fact("state", read_only=True),
            fact("invited_until", read_only=True, description="When an invitation ends; empty for members."),
        ),
        internal=frozenset({"membership_id"}),
        writes=Writes(operations.create_users, operations.update_users, operations.deactivate_users),
        title=("full_name",),
        ordering="full_name",
        guarded_by=MANAGE_USERS,
    )
)

ROLE = register(
    Entity(
        name="role",
        plural="roles",
        description="What members may do.",
        model_label="core.Role",
        facts=(
            fact("name", key=True, meaning="name"),
            fact("permissions"),
            fact("record_scope"),
            fact("is_builtin", label="Built-in", read_only=True),
        ),
        writes=Writes(operations.create_roles, operations.update_roles, operations.delete_roles),
        ordering="name",
        guarded_by=MANAGE_USERS,
    )
)

API_KEY = register(
    Entity(
        name="api_key",
        plural="api_keys",
        description="Keys for machines. Deleting one revokes it.",
        model_label="core.ApiKey",
        facts=(
            fact("name", meaning="name"),
            fact("user", kind=Kind.PERSON, read_only=True),
            fact("prefix", read_only=True),
            fact("scopes"),
            fact("expires_at"),
            fact("last_used_at", read_only=True),
            fact("revoked_at", read_only=True),
        ),
        internal=frozenset({"secret_hash"}),
        # Created by a call of its own, which answers the secret.
        writes=Writes(None, operations.update_api_keys, operations.revoke_api_keys),
        guarded_by=MANAGE_USERS,
    )
)
