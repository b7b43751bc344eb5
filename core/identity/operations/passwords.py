"""Reading what people type as e-mail and password, and judging it."""

from __future__ import annotations

from django.contrib.auth import password_validation
from django.contrib.auth.hashers import make_password, verify_password
from django.core.exceptions import ValidationError

from core.entities import get_entity
from core.entities.kinds import BadValue
from core.identity.models import User
from core.kernel.errors import Fault, Invalid

# Hashing a novel is a cheap way to keep a server busy.
MAX_PASSWORD_BYTES = 1_024


def read_email(text: str, path: str = "email") -> str:
    """The address as it is stored: trimmed and in lower case.

    Raises: Invalid.
    """
    field = get_entity("user").fields["email"]
    cleaned = text.strip().lower()
    try:
        email = str(field.type.from_json(field, cleaned))
    except BadValue as bad:
        raise Invalid(faults=[Fault(path, bad.code, bad.detail)]) from None
    if not email:
        raise Invalid(faults=[Fault(path, "required", "An e-mail address is needed.")])
    return email


def password_faults(password: str, path: str = "password") -> tuple[Fault, ...]:
    """What keeps the text from being read as a password at all."""
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        return (Fault(path, "invalid_characters", "The password holds characters that cannot be stored."),)
    if size > MAX_PASSWORD_BYTES:
        return (Fault(path, "too_long", f"A password has at most {MAX_PASSWORD_BYTES} bytes."),)
    return ()


def check_readable(password: str, path: str = "password") -> None:
    """Raises: Invalid."""
    if faults := password_faults(password, path):
        raise Invalid(faults=faults)


def hash_new_password(password: str, user: User, path: str = "password") -> str:
    """The hash of a password that keeps the rules.

    Raises: Invalid with each rule that is broken.
    """
    check_readable(password, path)
    try:
        password_validation.validate_password(password, user)
    except ValidationError as error:
        raise Invalid(
            faults=[Fault(path, item.code or "invalid", " ".join(item.messages)) for item in error.error_list]
        ) from None
    return make_password(password)


def is_password(password: str, stored: str | None) -> tuple[bool, bool]:
    """Whether it is the password, and whether its hash should be renewed.

    One hash is computed in every case, also for nobody (`None`), so that the time tells nothing.
    """
    return verify_password(password, "!" if stored is None else stored)
