"""Proving oneself by a link that was mailed, and setting a new password with it."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from uuid import UUID

from django.contrib.auth.tokens import PasswordResetTokenGenerator

from core.changes.facts import record_fact
from core.identity.models import User
from core.identity.operations import throttle
from core.identity.operations.passwords import hash_new_password
from core.identity.operations.sessions import end_sessions_of_person
from core.kernel.errors import Fault, Invalid
from core.kernel.transactions import needs_transaction
from core.tenancy.context import system_context


class _Tokens(PasswordResetTokenGenerator):
    """Signed over password, last sign-in and address: a token ends with the first of them that changes, or in time."""

    def __init__(self, now: datetime) -> None:
        super().__init__()
        self._at = now

    def _now(self) -> datetime:
        return self._at.astimezone(UTC).replace(tzinfo=None)


def make_reset_token(user: User, *, now: datetime) -> str:
    """A token that sets this person's password once, within `PASSWORD_RESET_TIMEOUT` seconds."""
    name = base64.urlsafe_b64encode(user.pk.bytes).rstrip(b"=").decode()
    return f"{name}.{_Tokens(now).make_token(user)}"


def _find_user(token: str, now: datetime) -> User | None:
    """Whose token it is, if it still holds. Expects a system context and an open transaction."""
    name, _, signed = token.partition(".")
    try:
        user_id = UUID(bytes=base64.urlsafe_b64decode(name.encode("ascii") + b"=="))
    except (binascii.Error, ValueError):
        return None
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id, is_active=True).first()
    return user if user is not None and _Tokens(now).check_token(user, signed) else None


def reset_password(
    *, token: str, new_password: str, now: datetime, is_mailed: bool = False, source: str = "api"
) -> User:
    """Set the password of the token's person and end all their sessions. Needs a transaction.

    `is_mailed` says that such tokens leave by mail, so that the password is known to the address's reader alone.
    Two uses at once: the row's lock lets one of them through, for the other the token has ended.
    Raises: Invalid (`token_invalid` at `token`, or the password rules at `new_password`).
    """
    needs_transaction()
    with system_context("resetting a password", source=source):
        user = _find_user(token, now)
        if user is None:
            raise Invalid(
                faults=[
                    Fault(
                        "token", "token_invalid", "This link is not valid or has expired. Ask for a new one."
                    )
                ]
            )
        user.password = hash_new_password(new_password, user, "new_password")
        user.proven_at = now if is_mailed else None
        User.objects.filter(pk=user.pk).update(password=user.password, proven_at=user.proven_at)
        end_sessions_of_person(user.pk, now, "password_reset")
        throttle.forget(throttle.of_account(user.email))
        joined = user.memberships.filter(is_active=True).order_by("created_at", "pk")
        record_fact(
            action="password_reset",
            entity_type="user",
            entity_id=user.pk,
            entity_name=user.email,
            company_id=joined.values_list("company_id", flat=True).first(),
            is_sensitive=True,
        )
    return user
