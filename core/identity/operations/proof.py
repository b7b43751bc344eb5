"""Links that prove an address: one-time tokens that are mailed, and the accounts of those who open them.

Whoever opens such a link reads the address's mail. A new person chooses a password with it; so does a person whose
password somebody else may know (an admin set it, or the address was never proven), for it must not open a further company.
Everybody else signs in besides.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from core.identity.models import Invitation, Registration, User
from core.identity.operations import throttle
from core.identity.operations.passwords import hash_new_password
from core.identity.operations.sessions import check_credentials, end_sessions_of_person
from core.kernel.errors import Conflict, Fault, Invalid, NotSignedIn
from core.kernel.registry import Registry
from core.kernel.transactions import needs_transaction, unit_of_work
from core.tenancy.context import system_context

INVITATION_LIFETIME = timedelta(days=7)
REGISTRATION_LIFETIME = timedelta(days=1)

# How links leave: "invitation" or "registration" -> called with the ids of such rows in the transaction that writes them.
# It has `issue_link` called and the link mailed later, so that the request takes alike for every address.
LINK_MAILERS: Registry[Callable[[Sequence[UUID], datetime], None]] = Registry("link mailer")


def send_links(kind: str, ids: Sequence[UUID], now: datetime) -> None:
    """Have a link mailed for each of these rows. Needs a transaction."""
    if ids:
        LINK_MAILERS[kind](ids, now)


def issue_link(row: Invitation | Registration, *, is_mailed: bool, now: datetime) -> str:
    """The token of a new link; earlier ones of the row end. `is_mailed` says that it leaves by mail, so that whoever opens
    it reads the address's mail. Needs a transaction and a system context."""
    needs_transaction()
    token = secrets.token_urlsafe(32)
    facts = {"token_digest": digest_of(token), "is_mailed": is_mailed}
    if isinstance(row, Invitation):
        facts["sent_at"] = now
    type(row).objects.filter(pk=row.pk).update(**facts)
    return token


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def link_ended() -> Invalid:
    detail = "This link is not valid or has expired. Ask for a new one."
    return Invalid(faults=[Fault("token", "token_invalid", detail)])


@dataclass(frozen=True, slots=True)
class Link:
    """What an open link says. `user_id` is the id of the account if a new one is made."""

    email: str
    first_name: str
    last_name: str
    is_mailed: bool
    user_id: UUID


@dataclass(frozen=True, slots=True)
class Proof:
    """Somebody has shown that the account of the link is theirs, or may make it."""

    link: Link
    # As it was when they did; None: there is none yet.
    account: User | None
    # The hash of the password that was chosen; None: the account keeps its own.
    new_password: str | None


def find_account(email: str) -> User | None:
    """Expects a system context and an open transaction."""
    return User.objects.filter(email=email).first()


def chooses_password(account: User | None, *, is_mailed: bool) -> bool:
    """Whether the reader of a link chooses a password with it, rather than signing in."""
    return account is None or (is_mailed and account.proven_at is None)


def prove(link: Link, *, password: str, signed_in_id: UUID | None, now: datetime, source: str) -> Proof:
    """Check what the reader of the link brings: `password` is the new one where they choose one, else their present one,
    which `signed_in_id` replaces. Must not run inside a transaction: a wrong password stays counted.

    Raises: Invalid, NotSignedIn (`sign_in_needed`, `invalid_credentials`), TooManyRequests.
    """
    with system_context("reading an account", source=source), unit_of_work():
        account = find_account(link.email)
    if account is not None and not account.is_active:
        raise link_ended()
    if account is None or chooses_password(account, is_mailed=link.is_mailed):
        if not password:
            raise Invalid(faults=[Fault("password", "required", "Choose a password.")])
        person = account or User(email=link.email, first_name=link.first_name, last_name=link.last_name)
        return Proof(link, account, hash_new_password(password, person))
    if account.pk == signed_in_id:
        return Proof(link, account, None)
    if not password:
        raise NotSignedIn("Sign in with this address to accept.", code="sign_in_needed")
    return Proof(link, check_credentials(email=link.email, password=password, now=now, source=source), None)


def claim_account(proof: Proof, *, now: datetime) -> User:
    """The account of a proof, made or given its new password; its sessions end with the old one.

    Needs a transaction and a system context. Raises: Conflict when the account has changed since.
    """
    needs_transaction()
    link = proof.link
    with connection.cursor() as cursor:
        # Of two links to one new address, the second finds the account that the first has made.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"account:{link.email}"])
    account = User.objects.select_for_update(no_key=True).filter(email=link.email).first()
    if _state(account) != _state(proof.account):
        raise Conflict("The account has changed meanwhile. Open the link again.")
    proven_at = now if link.is_mailed else None
    if account is None:
        account = User(
            id=link.user_id,
            email=link.email,
            first_name=link.first_name,
            last_name=link.last_name,
            password=proof.new_password or "",
            proven_at=proven_at,
            created_at=now,
        )
        account.save(force_insert=True)
    elif proof.new_password is not None:
        User.objects.filter(pk=account.pk).update(password=proof.new_password, proven_at=proven_at)
        account.password, account.proven_at = proof.new_password, proven_at
        end_sessions_of_person(account.pk, now, "password_reset")
        throttle.forget(throttle.of_account(account.email))
    return account


def _state(account: User | None) -> tuple[object, ...]:
    if account is None:
        return ()
    return (account.pk, account.password, account.proven_at, account.is_active)
