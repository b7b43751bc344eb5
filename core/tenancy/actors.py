"""Who acts. An `Actor` is what sign-in, an API key, a task or a command turns into; everything below sees only this."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

VERBS = ("create", "read", "update", "delete", "analytics")
SCOPES = ("own", "team", "territory", "all")


@dataclass(frozen=True, slots=True)
class Rights:
    """What a role allows: permissions are `verb` or `verb:entity` words, `*` is everything; scope says whose records.

    `version` is the company's rights version: two `Rights` with the same role and version are the same.
    """

    permissions: frozenset[str] = frozenset()
    record_scope: str = "own"
    role_id: UUID | None = None
    version: int = 0

    def can(self, verb: str, entity: str = "") -> bool:
        held = self.permissions
        return "*" in held or verb in held or (entity != "" and f"{verb}:{entity}" in held)


EVERYTHING = Rights(frozenset({"*"}), "all")


@dataclass(frozen=True, slots=True)
class Actor:
    """Someone (or the system itself) acting inside one company."""

    company_id: UUID
    user_id: UUID | None = None
    membership_id: UUID | None = None
    rights: Rights = field(default=EVERYTHING)
    session_id: UUID | None = None
    api_key_id: UUID | None = None
    impersonator_id: UUID | None = None
    # The log id of the change that caused this work, and how many such steps lie behind it (loop guard).
    cause: int | None = None
    depth: int = 0
    # The company's time zone, by its IANA name: where the days begin that the actor speaks of.
    zone: str = "UTC"

    @property
    def is_system(self) -> bool:
        return self.user_id is None


def system_actor(company_id: UUID) -> Actor:
    """The company's own machinery (imports' sweeps, schedules): all rights, no person."""
    return Actor(company_id)
