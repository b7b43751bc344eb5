"""Facts of people, roles and keys."""

from core.entities import Entity, fact, register
from core.entities.kinds import Kind

USER = register(
    Entity(
        name="user",
        plural="users",
        model_label="core.Person",
        facts=(
            fact("email", pii=True, key=True, search="A", required=True),
            fact("first_name", pii=True),
            fact("last_name", pii=True),
            fact("full_name", pii=True, key=True, search="A", read_only=True, meaning="name"),
            fact("role"),
            fact("manager"),
            fact("is_active"),
            fact("last_login", read_only=True),
        ),
        internal=frozenset({"membership_id"}),
        title=("full_name",),
        ordering="full_name",
    )
)

ROLE = register(
    Entity(
        name="role",
        plural="roles",
        model_label="core.Role",
        facts=(
            fact("name", key=True, meaning="name"),
            fact("permissions"),
            fact("record_scope"),
            fact("is_builtin", read_only=True),
        ),
        ordering="name",
    )
)

API_KEY = register(
    Entity(
        name="api_key",
        plural="api_keys",
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
    )
)
