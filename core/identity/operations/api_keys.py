"""API keys: a machine acts as their owner, never with more than the owner may do at that moment."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core.changes import Outcome, Rows, WriteSpec, insert, update
from core.changes.facts import record_fact
from core.identity.acting import require_may_act_as
from core.identity.models import ApiKey, Membership
from core.identity.operations.guards import Candidate, Verdicts, read_rows, require_manager, rows_of
from core.identity.queries import hash_of_secret
from core.identity.rights import covers, is_permission
from core.kernel.errors import Fault, Forbidden, Invalid, NotFound
from core.kernel.transactions import needs_transaction
from core.tenancy.actors import Actor

_SPEC = WriteSpec(ApiKey)
MAX_OVERLAP = timedelta(days=7)
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """`key` is the whole text for the Authorization header. It cannot be read again."""

    id: UUID
    key: str


def create_api_key(
    actor: Actor, *, name: str, scopes: Iterable[str], now: datetime, expires_at: datetime | None = None
) -> NewApiKey:
    """A key of the actor's own, for what `scopes` allow. Needs a transaction.

    Raises: Forbidden, Invalid.
    """
    needs_transaction()
    require_manager(actor)
    if actor.user_id is None:
        raise Forbidden("A key belongs to a person.")
    asked = list(dict.fromkeys(scopes))
    faults = [
        *_name_faults(name),
        *_expiry_faults(expires_at, now),
        *_scope_faults(asked, actor.rights.permissions),
    ]
    if faults:
        raise Invalid(faults=faults)
    return _issue(
        actor, {"name": name.strip(), "scopes": asked, "expires_at": expires_at}, actor.user_id, now
    )


def _issue(actor: Actor, values: dict[str, Any], user_id: UUID, now: datetime) -> NewApiKey:
    prefix = "atr_" + "".join(secrets.choice(_LETTERS) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    row = values | {"user": user_id, "prefix": prefix, "secret_hash": "\\x" + hash_of_secret(secret).hex()}
    made = insert(_SPEC, Rows.of(ApiKey, [row]), actor=actor, now=now)
    record_fact(
        action="api_key_created",
        entity_type="api_key",
        entity_id=made.one,
        entity_name=values["name"],
        details={"scopes": values["scopes"]},
        is_sensitive=True,
    )
    return NewApiKey(made.one, f"{prefix}.{secret}")


def update_api_keys(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change name, scopes or expiry. Needs a transaction. Raises: Forbidden."""
    needs_transaction()
    require_manager(actor)
    candidates = read_rows(rows)
    verdicts = Verdicts(candidates, all_or_none)
    stored = _keys([item.id for item in candidates])
    owners = _permissions_of_owners(stored)
    for item in candidates:
        key = stored.get(item.id)
        if key is None:
            verdicts.refuse(item, "id", "not_found", "There is no such record.")
            continue
        if key.revoked_at is not None:
            verdicts.refuse(item, "revoked_at", "revoked", "A revoked key stays as it is.")
        faults: list[Fault] = []
        if "name" in item.values:
            faults += _name_faults(item.values["name"] or "")
        if "expires_at" in item.values:
            faults += _expiry_faults(item.values["expires_at"], now)
        if "scopes" in item.values:
            asked = item.values["scopes"] or []
            faults += _scope_faults(asked, owners.get(key.user_id, frozenset()))
            faults += [] if faults else _scope_faults(asked, actor.rights.permissions)
        if faults:
            verdicts.faults.setdefault(item.ord, []).extend(faults)
    accepted = verdicts.accepted
    written = update(_SPEC, rows_of(ApiKey, accepted), actor=actor, now=now, all_or_none=all_or_none)
    return verdicts.outcome(written, accepted)


def revoke_api_keys(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """End keys, at once and for good. Needs a transaction. Raises: Forbidden."""
    needs_transaction()
    require_manager(actor)
    candidates = read_rows(rows)
    stored = _keys([item.id for item in candidates])
    ending = [
        Candidate(
            item.ord, item.id, item.expected_version, {"revoked_at": _revoked_at(stored.get(item.id), now)}
        )
        for item in candidates
    ]
    return update(_SPEC, rows_of(ApiKey, ending), actor=actor, now=now, all_or_none=all_or_none)


def _revoked_at(key: ApiKey | None, now: datetime) -> datetime:
    return key.revoked_at if key is not None and key.revoked_at is not None else now


def rotate_api_key(
    actor: Actor, *, key_id: UUID, now: datetime, overlap: timedelta = timedelta(days=1)
) -> NewApiKey:
    """A new key like the old one, which goes on for the time of `overlap`. Needs a transaction.

    The owner stays the same, so that somebody else's key is rotated only by who may act for them within its scopes;
    `expires_at` of the old key is moved forward, never back. Raises: Forbidden, NotFound, Invalid.
    """
    needs_transaction()
    require_manager(actor)
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        detail = f"The overlap is at most {MAX_OVERLAP.days} days."
        raise Invalid(faults=[Fault("overlap_seconds", "out_of_range", detail)])
    key = ApiKey.objects.select_for_update().filter(pk=key_id).first()
    if key is None:
        raise NotFound()
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
        raise Invalid(faults=[Fault("id", "revoked", "A key that has ended cannot be rotated.")])
    require_may_act_as(actor, key.user_id, permissions=key.scopes)
    if faults := _scope_faults(key.scopes, actor.rights.permissions):
        raise Invalid(faults=faults)
    ends_at = min(now + overlap, key.expires_at or now + overlap)
    old = Rows.of(ApiKey, [{"id": key.pk, "expires_at": ends_at}])
    update(_SPEC, old, actor=actor, now=now).raise_if_refused()
    values = {"name": key.name, "scopes": key.scopes, "expires_at": key.expires_at}
    return _issue(actor, values, key.user_id, now)


def _keys(ids: list[UUID]) -> dict[UUID, ApiKey]:
    return {key.pk: key for key in ApiKey.objects.filter(pk__in=ids)}


def _permissions_of_owners(keys: dict[UUID, ApiKey]) -> dict[UUID, frozenset[str]]:
    members = Membership.objects.filter(user_id__in={key.user_id for key in keys.values()}, is_active=True)
    return {item.user_id: frozenset(item.role.permissions) for item in members.select_related("role")}


def _name_faults(name: str) -> list[Fault]:
    if not name.strip():
        return [Fault("name", "required", "A key has a name.")]
    if len(name) > 100:
        return [Fault("name", "too_long", "At most 100 characters are allowed.")]
    return []


def _expiry_faults(expires_at: datetime | None, now: datetime) -> list[Fault]:
    if expires_at is not None and expires_at <= now:
        return [Fault("expires_at", "in_the_past", "A key ends in the future.")]
    return []


def _scope_faults(scopes: list[str], held: frozenset[str]) -> list[Fault]:
    if not scopes:
        return [Fault("scopes", "required", "Say what the key may do.")]
    faults = []
    for word in scopes:
        if not is_permission(word):
            faults.append(Fault("scopes", "not_a_permission", f"{word!r} is no permission."))
        elif not covers(held, word):
            faults.append(
                Fault("scopes", "beyond_own_rights", f"{word!r} is more than the owner's role allows.")
            )
    return faults
