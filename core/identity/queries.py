"""Who is asking: from a token or a key to an `Actor`, read afresh on every request."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from core.identity import tokens
from core.identity.models import ApiKey, Company, User
from core.identity.rights import narrowed
from core.kernel.errors import Forbidden, NotSignedIn
from core.kernel.transactions import unit_of_work
from core.tenancy import context
from core.tenancy.actors import Actor, Rights
from core.tenancy.postgresql.base import database

# A key's `last_used_at` is exact to this.
LAST_USED_PRECISION = timedelta(minutes=1)

_SLUG = re.compile(r"[-a-zA-Z0-9_]{1,64}")

_MEMBER = """
  c.id, c.is_active, c.rights_version, c.timezone, m.id, m.is_active, r.id, r.permissions, r.record_scope
"""
_ROLE = """
LEFT JOIN core_membership m ON m.company_id = c.id AND m.user_id = u.id
LEFT JOIN core_role r ON r.company_id = m.company_id AND r.id = m.role_id
"""
# The session's own company must be alive too, whichever company is asked for.
_BY_SESSION = f"""
SELECT s.revoked_at, s.expires_at, u.is_active AND home.is_active, {_MEMBER}
FROM core_authsession s
JOIN core_user u ON u.id = s.user_id
JOIN core_company home ON home.id = s.company_id
{{company}}
{_ROLE}
WHERE s.id = %(session)s::uuid AND s.user_id = %(user)s::uuid AND s.company_id = %(company)s::uuid"""
_BY_OWN_SESSION = _BY_SESSION.format(company="JOIN core_company c ON c.id = s.company_id")
_BY_SESSION_AND_SLUG = _BY_SESSION.format(company="LEFT JOIN core_company c ON c.slug = %(slug)s::text")

_BY_KEY = f"""
SELECT k.id, k.secret_hash, k.scopes, k.expires_at, k.last_used_at, u.id, u.is_active, c.slug, {_MEMBER}
FROM core_apikey k
JOIN core_user u ON u.id = k.user_id
JOIN core_company c ON c.id = k.company_id
{_ROLE}
WHERE k.prefix = %(prefix)s::text AND k.revoked_at IS NULL"""
_KEY_USED = "UPDATE core_apikey SET last_used_at = %(now)s::timestamptz WHERE id = %(key)s::uuid"

_BY_USER = f"""
SELECT c.slug, {_MEMBER}
FROM core_user u
JOIN core_membership own ON own.user_id = u.id
JOIN core_company c ON c.id = own.company_id
{_ROLE}
WHERE u.id = %(user)s::uuid AND u.is_active AND c.is_active AND own.is_active
ORDER BY own.created_at, own.id"""


_BY_MEMBER = f"""
SELECT {_MEMBER}
FROM core_user u
JOIN core_company c ON c.id = %(company)s::uuid
{_ROLE}
WHERE u.id = %(user)s::uuid AND u.is_active"""


@dataclass(frozen=True, slots=True)
class _Member:
    company_id: UUID | None
    company_is_active: bool
    rights_version: int
    zone: str
    membership_id: UUID | None
    is_active: bool
    role_id: UUID | None
    permissions: list[str] | None
    record_scope: str | None

    @property
    def is_alive(self) -> bool:
        return bool(self.company_is_active and self.is_active and self.role_id)

    @property
    def rights(self) -> Rights:
        return Rights(
            frozenset(self.permissions or ()), self.record_scope or "own", self.role_id, self.rights_version
        )


@contextmanager
def _across_companies(reason: str) -> Iterator[None]:
    """A transaction in the system's context; the one that is bound already is not bound again."""
    if context.current().system:
        with unit_of_work():
            yield
    else:
        with context.system_context(reason, source="api"), unit_of_work():
            yield


def find_actor_by_access_token(token: str, now: datetime, company_slug: str | None = None) -> Actor:
    """The actor of an access token; with `company_slug`, the same person in that company. One statement: the session and
    the rights are read on every request, so that one that is taken is gone at once.

    Raises: NotSignedIn (`token_invalid`, `token_expired`, `session_ended`), Forbidden (`not_a_member`).
    """
    claims = tokens.decode_access(token, keys=settings.JWT_KEYS, now=now)
    params: dict[str, Any] = {
        "session": claims.session_id,
        "user": claims.user_id,
        "company": claims.company_id,
    }
    sql = _BY_OWN_SESSION
    if company_slug is not None:
        # A text that cannot be a slug is nobody's.
        sql, params["slug"] = _BY_SESSION_AND_SLUG, company_slug if _SLUG.fullmatch(company_slug) else ""
    with _across_companies("reading a session"):
        found = database().fetch_prepared(sql, params)
    if not found:
        raise _ended()
    revoked_at, expires_at, is_alive, *columns = found[0]
    if revoked_at is not None or expires_at <= now or not is_alive:
        raise _ended()
    member = _Member(*columns)
    if not member.is_alive or member.company_id is None:
        raise _ended() if company_slug is None else _not_a_member()
    return Actor(
        member.company_id,
        claims.user_id,
        member.membership_id,
        member.rights,
        session_id=claims.session_id,
        zone=member.zone,
    )


def _ended() -> NotSignedIn:
    return NotSignedIn("This session has ended. Sign in again.", code="session_ended")


def _not_a_member() -> Forbidden:
    return Forbidden("You are not a member of this company.", code="not_a_member")


def hash_of_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def find_actor_by_api_key(key: str, now: datetime, company_slug: str | None = None) -> Actor:
    """The actor of `<prefix>.<secret>`: its owner's rights of this moment, narrowed by the key's scopes.

    Raises: NotSignedIn (`key_invalid`, `key_expired`), Forbidden (`not_a_member`).
    """
    prefix, _, secret = key.partition(".")
    if len(key) > 200 or not key.isascii() or not key.isprintable() or not secret:
        raise _no_key()
    with _across_companies("reading an API key"):
        found = database().fetch_prepared(_BY_KEY, {"prefix": prefix})
        if found:
            key_id, secret_hash, scopes, expires_at, last_used_at, *rest = found[0]
            is_genuine = hmac.compare_digest(bytes(secret_hash), hash_of_secret(secret))
            if is_genuine and (last_used_at is None or last_used_at < now - LAST_USED_PRECISION):
                database().fetch_prepared(_KEY_USED, {"key": key_id, "now": now})
    if not found or not is_genuine:
        raise _no_key()
    user_id, is_alive, slug, *columns = rest
    member = _Member(*columns)
    if expires_at is not None and expires_at <= now:
        raise NotSignedIn("The API key has expired.", code="key_expired")
    if not is_alive or not member.is_alive or member.company_id is None:
        raise _no_key()
    if company_slug is not None and company_slug != slug:
        raise _not_a_member()
    owner = member.rights
    return Actor(
        company_id=member.company_id,
        user_id=user_id,
        membership_id=member.membership_id,
        rights=Rights(narrowed(owner.permissions, scopes), owner.record_scope, owner.role_id, owner.version),
        api_key_id=key_id,
        zone=member.zone,
    )


def _no_key() -> NotSignedIn:
    return NotSignedIn("The API key is not valid.", code="key_invalid")


def list_actors_of_user(user_id: UUID) -> dict[str, Actor]:
    """Who this person is in each company that they may enter, by slug, the first joined first."""
    with _across_companies("reading a person's companies"):
        found = database().fetch_prepared(_BY_USER, {"user": user_id})
    actors = {}
    for slug, *columns in found:
        member = _Member(*columns)
        if member.company_id is not None:
            actors[slug] = Actor(
                member.company_id, user_id, member.membership_id, member.rights, zone=member.zone
            )
    return actors


def find_actor(user_id: UUID, company_id: UUID) -> Actor | None:
    """The person with their rights of this moment in the company, for work that runs in their name (a schedule, a run).

    None for who is no active member of it, or where the person or the company is inactive.
    """
    with _across_companies("reading a person's rights"):
        found = database().fetch_prepared(_BY_MEMBER, {"user": user_id, "company": company_id})
    if not found:
        return None
    member = _Member(*found[0])
    if not member.is_alive:
        return None
    return Actor(company_id, user_id, member.membership_id, member.rights, zone=member.zone)


def find_actor_of_work(user_id: UUID, api_key_id: UUID | None, company_id: UUID) -> Actor | None:
    """Who asked for work that is done later, with the rights of this moment: the person, narrowed to the key by which they
    asked. None where they, or the key, may no longer act. Needs the company in context for a key.
    """
    actor = find_actor(user_id, company_id)
    if actor is None or api_key_id is None:
        return actor
    with unit_of_work():
        key = ApiKey.objects.filter(pk=api_key_id, revoked_at=None).first()
    return narrowed_to(actor, key) if key is not None else None


def narrowed_to(actor: Actor, key: ApiKey) -> Actor:
    """The key's owner as the key lets them act, for work that a request with the key has started."""
    owner = actor.rights
    rights = Rights(narrowed(owner.permissions, key.scopes), owner.record_scope, owner.role_id, owner.version)
    return replace(actor, rights=rights, api_key_id=key.pk)


def get_company(actor: Actor) -> Company:
    """The company the actor works in."""
    return Company.objects.get(pk=actor.company_id)


@dataclass(frozen=True, slots=True)
class CompanyBrief:
    id: UUID
    name: str
    slug: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A signed-in person, their role in the company in context, and the companies they may switch to."""

    user: User
    company: Company
    role_name: str
    companies: tuple[CompanyBrief, ...]


def get_profile(actor: Actor) -> Profile:
    """Raises: NotSignedIn when the actor is no person."""
    if actor.user_id is None:
        raise NotSignedIn()
    with _across_companies("reading a person's profile"):
        user = User.objects.get(pk=actor.user_id)
        company = Company.objects.get(pk=actor.company_id)
        memberships = list(
            user.memberships.filter(is_active=True, company__is_active=True)
            .order_by("company__name", "company_id")
            .select_related("company", "role")
        )
    role = next((item.role.name for item in memberships if item.company_id == actor.company_id), "")
    return Profile(
        user,
        company,
        role,
        tuple(CompanyBrief(item.company.id, item.company.name, item.company.slug) for item in memberships),
    )
