"""Devices that have signed in before: a signed token that the client keeps and shows at its next sign-in.

It opens nothing. It says that this device has known the account's password once, so that its tries are counted apart from
those of strangers.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.core import signing

LIFETIME = timedelta(days=180)
_SALT = "core.identity.device"
MAX_LENGTH = 300


def make_device_token(email: str) -> str:
    """A token for a device on which somebody has just signed in to this account."""
    return signing.dumps([_account(email), secrets.token_urlsafe(12)], salt=_SALT)


def read_device(token: str, email: str) -> str | None:
    """The id of the device, if the token is genuine and was given for this account."""
    if not token or len(token) > MAX_LENGTH:
        return None
    try:
        account, device_id = signing.loads(token, salt=_SALT, max_age=LIFETIME)
    except (signing.BadSignature, TypeError, ValueError):
        return None
    return str(device_id) if account == _account(email) else None


def _account(email: str) -> str:
    """What the client cannot read the address from."""
    return hashlib.sha256(email.encode()).hexdigest()[:32]
