"""Signing in and out: sessions, their tokens, passwords. These operations commit by themselves.

A wrong password must stay counted and a replayed token must end its family although the request fails, so none of them
may run inside a larger transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import models

from core.changes.facts import record_fact
from core.identity import queries, tokens
from core.identity.devices import make_device_token, read_device
from core.identity.models import AuthSession, Company, Membership, User
from core.identity.operations import throttle
from core.identity.operations.passwords import check_readable, hash_new_password, is_password, read_email
from core.kernel.errors import Fault, Forbidden, Invalid, NotSignedIn
from core.kernel.transactions import needs_transaction, retried, unit_of_work
from core.tenancy import context
from core.tenancy.actors import Actor
from core.tenancy.context import Origin, actor_context, system_context
from core.tenancy.postgresql.base import database

NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class SignedInSession:
    """A new pair of tokens, and for whom."""

    access: str
    refresh: str
    user: User
    company: Company
    # Shown at the next sign-in on this device, whose tries are counted apart then. Empty where no password was given.
    device: str = ""

    @property
    def expires_in(self) -> int:
        """Seconds until the access token ends."""
        return int(tokens.ACCESS_LIFETIME.total_seconds())


def check_credentials(
    *, email: str, password: str, now: datetime, device: str = "", source: str = "api"
) -> User:
    """The person with this email and password; remembers the sign-in, forgets the failed tries before it.

    `device` is the token of an earlier sign-in: tries of a device that the account knows are counted apart, so that nobody
    else's keep it out. Unknown, inactive and wrong answer alike and take alike. Commits by itself. Raises: NotSignedIn
    (`invalid_credentials`), TooManyRequests, Invalid for what cannot be an email address or a password.
    """
    login = read_email(email)
    check_readable(password)
    device_id = read_device(device, login)
    tries = (
        [throttle.of_device(device_id)]
        if device_id is not None
        else [throttle.of_account(login), throttle.of_address(context.current().origin.ip)]
    )
    throttle.claim(tries, now)

    with system_context("sign-in", source=source), unit_of_work():
        user = User.objects.filter(email=login).first()
    is_right, is_outdated = is_password(password, user.password if user else None)
    if user is not None and user.is_active and is_right:
        renewed = make_password(password) if is_outdated else user.password
        if _remember_sign_in(user, renewed, tries, now, source):
            return user
    _record_failure(user, now, source)
    raise NotSignedIn("The email address or the password is wrong.", code="invalid_credentials")


def _remember_sign_in(
    user: User, password: str, tries: Sequence[throttle.Tries], now: datetime, source: str
) -> bool:
    def work() -> bool:
        # Whoever changed the password while it was checked has won.
        updated = User.objects.filter(pk=user.pk, password=user.password, is_active=True).update(
            last_login=now, password=password
        )
        if updated:
            throttle.settle(tries)
        return bool(updated)

    with system_context("sign-in", source=source):
        done = retried(work)
    user.password, user.last_login = password, now
    return done


def _record_failure(user: User | None, now: datetime, source: str) -> None:
    """What was typed for nobody's e-mail is not kept: it may be a password in the wrong box."""
    with system_context("sign-in", source=source), unit_of_work():
        # Asked for nobody too, so that the time tells nothing.
        first = (
            User.objects.filter(pk=user.pk if user else NOBODY).values_list("memberships__company_id").first()
        )
        record_fact(
            action="login_failed",
            entity_type="user",
            entity_id=user.pk if user else None,
            entity_name=user.email if user else None,
            company_id=first[0] if first else None,
        )


def sign_in(
    *, email: str, password: str, now: datetime, company_slug: str | None = None, device: str = ""
) -> SignedInSession:
    """Open a session in the named company, or in the one joined first.

    Raises: as `check_credentials`, and Forbidden (`not_a_member`) when there is no company to enter.
    """
    user = check_credentials(email=email, password=password, now=now, device=device)
    session = open_session(user, now=now, company_slug=company_slug)
    return replace(session, device=make_device_token(user.email))


def open_session(user: User, *, now: datetime, company_slug: str | None = None) -> SignedInSession:
    """A session of a person who has proven who they are. Raises: Forbidden (`not_a_member`)."""
    actors = queries.list_actors_of_user(user.pk)
    slug = company_slug if company_slug is not None else next(iter(actors), "")
    actor = actors.get(slug)
    if actor is None:
        raise Forbidden("You are not an active member of this company.", code="not_a_member")
    return retried(lambda: _open(user, actor, now, ended=None))


def _open(user: User, actor: Actor, now: datetime, ended: UUID | None) -> SignedInSession:
    needs_transaction()
    origin = context.current().origin
    with system_context("opening a session", source="api"):
        # The row's lock makes a change of the password wait, and that will end this session too.
        unchanged = User.objects.select_for_update(no_key=True).filter(
            pk=user.pk, password=user.password, is_active=True
        )
        if not unchanged.exists():
            raise NotSignedIn("Sign in again.", code="session_ended")
        if ended is not None and not _revoke(AuthSession.objects.filter(pk=ended), "switched", now):
            raise NotSignedIn("This session has ended. Sign in again.", code="session_ended")
        session = AuthSession.objects.create(
            user=user,
            company_id=actor.company_id,
            ip=origin.ip,
            user_agent=origin.user_agent[:500].replace("\x00", ""),
            created_at=now,
            refreshed_at=now,
            expires_at=now + tokens.REFRESH_LIFETIME,
        )
        company = Company.objects.get(pk=actor.company_id)
        _remember_entry(actor, now)
    with actor_context(actor, source="api"):
        record_fact(action="login", entity_type="user", entity_id=user.pk, entity_name=user.email)
    return _pair(session, user, company, now)


def _remember_entry(actor: Actor, now: datetime) -> None:
    """Expects a system context and a transaction."""
    Membership.objects.filter(pk=actor.membership_id).update(last_login=now)


def remember_entry(actor: Actor, *, now: datetime, source: str) -> None:
    """The person has signed in to this company by another way than a session of the API. Needs a transaction."""
    needs_transaction()
    with system_context("remembering a sign-in", source=source):
        _remember_entry(actor, now)


def _pair(session: AuthSession, user: User, company: Company, now: datetime) -> SignedInSession:
    claims = tokens.Claims(user.pk, session.pk, company.pk, session.refresh_serial)
    keys = settings.JWT_KEYS
    return SignedInSession(
        tokens.encode_access(claims, keys=keys, now=now),
        tokens.encode_refresh(claims, keys=keys, now=now),
        user,
        company,
    )


def _revoke(sessions: models.QuerySet[AuthSession], reason: str, now: datetime) -> int:
    return sessions.filter(revoked_at=None).update(revoked_at=now, revoked_reason=reason)


_ROTATE = """
UPDATE core_authsession s SET refresh_serial = s.refresh_serial + 1, refreshed_at = %(now)s::timestamptz,
  expires_at = %(expires)s::timestamptz
FROM core_user u, core_company c, core_membership m
WHERE s.id = %(session)s::uuid AND s.user_id = %(user)s::uuid AND s.company_id = %(company)s::uuid
  AND s.refresh_serial = %(serial)s::int AND s.revoked_at IS NULL AND s.expires_at > %(now)s::timestamptz
  AND u.id = s.user_id AND u.is_active AND c.id = s.company_id AND c.is_active
  AND m.company_id = s.company_id AND m.user_id = s.user_id AND m.is_active
RETURNING s.refresh_serial"""


def refresh(*, token: str, now: datetime) -> SignedInSession:
    """The next pair of tokens for a refresh token, which is spent by it.

    A token that was spent before is a theft or its consequence: its whole session ends. Commits by itself.
    Raises: NotSignedIn (`token_invalid`, `token_expired`, `refresh_reused`, `session_ended`).
    """
    claims = tokens.decode_refresh(token, keys=settings.JWT_KEYS, now=now)
    with system_context("refreshing a session", source="api"):
        renewed, was_replayed = retried(lambda: _rotate_or_end(claims, now))
    if renewed is None:
        if was_replayed:
            raise NotSignedIn("This refresh token was used before. Sign in again.", code="refresh_reused")
        raise NotSignedIn("This session has ended. Sign in again.", code="session_ended")
    return renewed


def _rotate_or_end(claims: tokens.Claims, now: datetime) -> tuple[SignedInSession | None, bool]:
    params = {
        "session": claims.session_id,
        "user": claims.user_id,
        "company": claims.company_id,
        "serial": claims.serial,
        "now": now,
        "expires": now + tokens.REFRESH_LIFETIME,
    }
    if database().fetch_prepared(_ROTATE, params):
        session = AuthSession.objects.select_related("user", "company").get(pk=claims.session_id)
        return _pair(session, session.user, session.company, now), False
    replayed = AuthSession.objects.filter(
        pk=claims.session_id, user_id=claims.user_id, refresh_serial__gt=claims.serial
    )
    if _revoke(replayed, "refresh_reused", now):
        record_fact(
            action="refresh_reused",
            entity_type="user",
            entity_id=claims.user_id,
            company_id=claims.company_id,
            details={"session": claims.session_id},
            description="A spent refresh token was presented; its session was ended.",
            is_sensitive=True,
        )
    return None, replayed.exists()


def sign_out(actor: Actor, *, now: datetime) -> None:
    """End the actor's session and with it all its tokens. Raises: Forbidden for an API key."""
    session_id, _ = _session_of(actor)

    def work() -> None:
        with system_context("signing out", source="api"):
            _revoke(AuthSession.objects.filter(pk=session_id), "signed_out", now)
        with actor_context(actor, source="api"):
            record_fact(action="logout", entity_type="user", entity_id=actor.user_id)

    retried(work)


def _session_of(actor: Actor) -> tuple[UUID, UUID]:
    """The actor's session and person."""
    person = _person_of(actor)
    if actor.session_id is None:
        raise _session_needed()
    return actor.session_id, person


def _person_of(actor: Actor) -> UUID:
    if actor.api_key_id is not None or actor.user_id is None:
        raise _session_needed()
    return actor.user_id


def _session_needed() -> Forbidden:
    return Forbidden("An API key has no session; this is for people.", code="session_needed")


def change_password(
    actor: Actor, *, current_password: str, new_password: str, now: datetime, source: str = "api"
) -> None:
    """Set a new password and end all other sessions of this person. Commits by itself.

    Whoever is signed in without a session of the API, as in the back office, has all of those ended.
    Raises: Invalid (`wrong_password` and the password rules), TooManyRequests, Forbidden for an API key.
    """
    person = _person_of(actor)
    check_readable(current_password, "current_password")
    with system_context("changing a password", source=source), unit_of_work():
        user = User.objects.get(pk=person)
    # Who is signed in is no stranger: tries of strangers do not count here.
    tries = [throttle.of_own_password(user.pk)]
    throttle.claim(tries, now)
    is_right, _ = is_password(current_password, user.password)
    if not is_right:
        _record_failure(user, now, source)
        raise Invalid(
            faults=[Fault("current_password", "wrong_password", "This is not your current password.")]
        )
    hashed = hash_new_password(new_password, user, "new_password")

    def work() -> bool:
        with system_context("changing a password", source=source):
            if not User.objects.filter(pk=user.pk, password=user.password).update(password=hashed):
                return False
            throttle.settle(tries)
            others = AuthSession.objects.filter(user=user)
            if actor.session_id is not None:
                others = others.exclude(pk=actor.session_id)
            _revoke(others, "password_changed", now)
        with actor_context(actor, source=source):
            record_fact(action="password_changed", entity_type="user", entity_id=user.pk, is_sensitive=True)
        return True

    if not retried(work):
        raise Invalid(
            faults=[Fault("current_password", "wrong_password", "The password was changed meanwhile.")]
        )


def switch_company(actor: Actor, *, company_slug: str, now: datetime) -> SignedInSession:
    """A session of the same person in another of their companies, in place of this one.

    Raises: Forbidden (`not_a_member`, or for an API key).
    """
    ended, person = _session_of(actor)
    with system_context("switching the company", source="api"), unit_of_work():
        user = User.objects.get(pk=person)
    target = queries.list_actors_of_user(user.pk).get(company_slug)
    if target is None:
        raise Forbidden("You are not a member of this company.", code="not_a_member")
    return retried(lambda: _open(user, target, now, ended=ended))


def end_sessions_of_person(user_id: UUID, now: datetime, reason: str) -> None:
    """End every session of this person, in all companies. Needs a transaction and a system context."""
    needs_transaction()
    _revoke(AuthSession.objects.filter(user_id=user_id), reason, now)


def end_sessions_of_members(actor: Actor, user_ids: list[UUID], now: datetime, reason: str) -> None:
    """End the sessions that these people have in the actor's company. Needs a transaction."""
    needs_transaction()
    with system_context("ending members' sessions", source=context.current().source):
        _revoke(AuthSession.objects.filter(company_id=actor.company_id, user_id__in=user_ids), reason, now)


def record_refusal(actor: Actor, *, what: str, code: str, origin: Origin) -> None:
    """Keep in the log that the actor was refused `what` (a method and a path). In a transaction of its own."""
    with actor_context(actor, source="api", origin=origin), unit_of_work():
        record_fact(
            action="permission_denied", entity_type="request", details={"code": code}, description=what
        )
