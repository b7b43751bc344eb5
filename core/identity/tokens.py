"""JSON Web Tokens as this installation makes them, and only those: one algorithm, known keys, exact claims.

Pure: keys and time are passed in. `keys` is ordered; the first signs and all verify, so that a key can be rotated.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

import jwt

from core.kernel.errors import NotSignedIn

ALGORITHM = "HS256"
ISSUER = "atrium-crm"
AUDIENCE = "atrium-crm-api"
ACCESS_LIFETIME = timedelta(minutes=10)
REFRESH_LIFETIME = timedelta(days=14)
# Clocks of several servers differ a little.
LEEWAY_SECONDS = 30
MAX_LENGTH = 2_048

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_LIFETIMES = {"access": ACCESS_LIFETIME, "refresh": REFRESH_LIFETIME}
_CLAIMS = {
    "access": frozenset({"iss", "aud", "sub", "sid", "cid", "typ", "iat", "exp", "jti"}),
    "refresh": frozenset({"iss", "aud", "sub", "sid", "cid", "typ", "iat", "exp", "jti", "serial"}),
}
# Signatures and claims are read by PyJWT; the claims' meaning is judged below, against the time that was passed in.
_SIGNATURE_ONLY = {f"verify_{what}": False for what in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")} | {
    "verify_signature": True
}


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: the session it belongs to, its person and company; a refresh token its serial number."""

    user_id: UUID
    session_id: UUID
    company_id: UUID
    serial: int = 0


def encode_access(claims: Claims, *, keys: Mapping[str, str], now: datetime) -> str:
    return _encode(claims, "access", {}, keys, now)


def encode_refresh(claims: Claims, *, keys: Mapping[str, str], now: datetime) -> str:
    return _encode(claims, "refresh", {"serial": claims.serial}, keys, now)


def decode_access(token: str, *, keys: Mapping[str, str], now: datetime) -> Claims:
    """Raises: NotSignedIn, code `token_expired` for a genuine token past its time, else `token_invalid`."""
    return _decode(token, "access", keys, now)


def decode_refresh(token: str, *, keys: Mapping[str, str], now: datetime) -> Claims:
    """Raises: as `decode_access`."""
    return _decode(token, "refresh", keys, now)


def _encode(
    claims: Claims, kind: str, more: Mapping[str, Any], keys: Mapping[str, str], now: datetime
) -> str:
    issued = int(now.timestamp())
    kid = next(iter(keys))
    payload = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(claims.user_id),
        "sid": str(claims.session_id),
        "cid": str(claims.company_id),
        "typ": kind,
        "iat": issued,
        "exp": issued + int(_LIFETIMES[kind].total_seconds()),
        "jti": str(uuid4()),
        **more,
    }
    return jwt.encode(payload, keys[kid], algorithm=ALGORITHM, headers={"kid": kid})


class _Malformed(Exception):
    """The token is none of ours."""


def _decode(token: str, kind: str, keys: Mapping[str, str], now: datetime) -> Claims:
    try:
        claims, issued, expires = _genuine(token, kind, tuple(keys.items()))
        if issued > now.timestamp() + LEEWAY_SECONDS:
            raise _Malformed
    except (_Malformed, jwt.PyJWTError):
        raise NotSignedIn("The token is not valid.", code="token_invalid") from None
    if expires <= now.timestamp():
        raise NotSignedIn("The token has expired.", code="token_expired")
    return claims


@lru_cache(maxsize=1024)
def _genuine(token: str, kind: str, keys: tuple[tuple[str, str], ...]) -> tuple[Claims, int, int]:
    """What a genuine token says, and when it was issued and expires: all that no clock changes.

    Clients send the same one for minutes.
    """
    return _read(_verified(token, keys), kind)


def _verified(token: str, keys: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    if len(token) > MAX_LENGTH or not _COMPACT.fullmatch(token):
        raise _Malformed
    header_part, payload_part, signature_part = token.split(".")
    header = _json(header_part)
    # Nothing in a header may choose the algorithm, bring a key or name where one lies.
    if set(header) != {"alg", "typ", "kid"} or header["alg"] != ALGORITHM or header["typ"] != "JWT":
        raise _Malformed
    key = dict(keys).get(header["kid"]) if isinstance(header["kid"], str) else None
    if key is None:
        raise _Malformed
    _bytes(signature_part)
    jwt.decode(token, key, algorithms=[ALGORITHM], options=_SIGNATURE_ONLY)  # type: ignore[arg-type]
    return _json(payload_part)


def _bytes(part: str) -> bytes:
    """Base64url in its one canonical form, so that no second text means the same token."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise _Malformed from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise _Malformed
    return raw


def _json(part: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            raise _Malformed
        return dict(pairs)

    try:
        document = json.loads(_bytes(part).decode(), object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise _Malformed from None
    if not isinstance(document, dict):
        raise _Malformed
    return document


def _read(payload: Mapping[str, Any], kind: str) -> tuple[Claims, int, int]:
    if set(payload) != _CLAIMS[kind]:
        raise _Malformed
    if (payload["iss"], payload["aud"], payload["typ"]) != (ISSUER, AUDIENCE, kind):
        raise _Malformed
    issued, expires = _number(payload["iat"]), _number(payload["exp"])
    if expires - issued != int(_LIFETIMES[kind].total_seconds()):
        raise _Malformed
    _id(payload["jti"])
    serial = _number(payload["serial"]) if kind == "refresh" else 0
    claims = Claims(_id(payload["sub"]), _id(payload["sid"]), _id(payload["cid"]), serial)
    return claims, issued, expires


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise _Malformed
    return value


def _id(value: Any) -> UUID:
    if not isinstance(value, str):
        raise _Malformed
    try:
        found = UUID(value)
    except ValueError:
        raise _Malformed from None
    if str(found) != value:
        raise _Malformed
    return found
