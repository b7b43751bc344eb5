"""Forged, altered and misused tokens: none is accepted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from core.identity import tokens
from core.identity.operations import sign_in
from core.kernel.errors import NotSignedIn
from tests.worlds import PASSWORD, Api, Worlds

KEYS = {"new": "n" * 48, "old": "o" * 48}


def claims(serial: int = 0) -> tokens.Claims:
    return tokens.Claims(uuid4(), uuid4(), uuid4(), serial)


class TestTokens:
    def test_read_what_was_written(self):
        given = claims()
        token = tokens.encode_access(given, keys=KEYS, now=timezone.now())
        assert tokens.decode_access(token, keys=KEYS, now=timezone.now()) == given

    def test_refresh_tokens_carry_their_serial(self):
        given = claims(7)
        token = tokens.encode_refresh(given, keys=KEYS, now=timezone.now())
        assert tokens.decode_refresh(token, keys=KEYS, now=timezone.now()).serial == 7

    def test_are_accepted_while_their_key_is_being_retired_and_not_after(self):
        given, now = claims(), timezone.now()
        token = tokens.encode_access(given, keys={"old": KEYS["old"]}, now=now)
        assert tokens.decode_access(token, keys=KEYS, now=now) == given
        with pytest.raises(NotSignedIn):
            tokens.decode_access(token, keys={"new": KEYS["new"]}, now=now)

    def test_end_after_ten_minutes_to_the_second(self):
        now = timezone.now().replace(microsecond=0)
        token = tokens.encode_access(claims(), keys=KEYS, now=now)
        tokens.decode_access(token, keys=KEYS, now=now + timedelta(seconds=599))
        with pytest.raises(NotSignedIn) as caught:
            tokens.decode_access(token, keys=KEYS, now=now + timedelta(seconds=600))
        assert caught.value.code == "token_expired"


def part(document: Any) -> str:
    raw = document if isinstance(document, bytes) else json.dumps(document, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: Any, payload: Any, key: str, digest: Any = hashlib.sha256) -> str:
    text = f"{part(header)}.{part(payload)}"
    return f"{text}.{part(hmac.new(key.encode(), text.encode(), digest).digest())}"


def forged(genuine: str, other_tenant: str) -> dict[str, str]:
    """Tokens nobody issued, by kind. Those that are signed use the real key: only their content is wrong."""
    kid, key = next(iter(settings.JWT_KEYS.items()))
    header = {"alg": "HS256", "typ": "JWT", "kid": kid}
    payload = jwt.decode(genuine, options={"verify_signature": False})
    theirs = jwt.decode(other_tenant, options={"verify_signature": False})
    head, body, signature = genuine.split(".")
    is_access, lifetime = payload["typ"] == "access", payload["exp"] - payload["iat"]

    def altered(**changes: Any) -> str:
        return signed(header, {**payload, **changes}, key)

    def headed(**changes: Any) -> str:
        return signed({**header, **changes}, payload, key)

    def without(name: str) -> str:
        return signed(header, {k: v for k, v in payload.items() if k != name}, key)

    twice = json.dumps(payload)[:-1] + ', "sub": "' + theirs["sub"] + '"}'
    return {
        "alg none": f"{part({**header, 'alg': 'none'})}.{body}.",
        "alg None with a signature": f"{part({**header, 'alg': 'None'})}.{body}.{signature}",
        "alg nOnE, empty signature": f"{part({**header, 'alg': 'nOnE'})}.{body}.AA",
        "alg HS512 under our key": signed({**header, "alg": "HS512"}, payload, key, hashlib.sha512),
        "alg RS256": headed(alg="RS256"),
        "alg missing": signed({"typ": "JWT", "kid": kid}, payload, key),
        "signed with another key": signed(header, payload, "k" * 60),
        "signed with an empty key": signed(header, payload, ""),
        "signed with the key's name": signed(header, payload, kid),
        "kid unknown": headed(kid="nobody"),
        "kid as a path": headed(kid="../../../../dev/null"),
        "kid as SQL": headed(kid="' UNION SELECT 'x' --"),
        "kid missing": signed({"alg": "HS256", "typ": "JWT"}, payload, key),
        "kid as a list": headed(kid=[kid]),
        "kid null": headed(kid=None),
        "key in the header (jwk)": headed(jwk={"kty": "oct", "k": part(b"x" * 32)}),
        "key's address in the header (jku)": headed(jku="https://evil.example/keys"),
        "certificate's address (x5u)": headed(x5u="https://evil.example/c.pem"),
        "critical extension": headed(crit=["exp"]),
        "unencoded payload (b64)": headed(b64=False),
        "typ of another kind": headed(typ="at+jwt"),
        "expired": altered(iat=payload["iat"] - lifetime - 1, exp=payload["iat"] - 1),
        "expiry moved": altered(exp=payload["exp"] + 86_400),
        "issued in the future": altered(iat=payload["iat"] + 3600, exp=payload["exp"] + 3600),
        "expiry as a text": altered(exp=str(payload["exp"])),
        "expiry as a fraction": altered(exp=payload["exp"] + 0.5),
        "expiry infinite": signed(header, json.dumps({**payload, "exp": float("inf")}).encode(), key),
        "not before, unknown to us": altered(nbf=payload["iat"]),
        "wrong issuer": altered(iss="someone"),
        "wrong audience": altered(aud="other-api"),
        "audience as a list": altered(aud=[payload["aud"]]),
        "of the other kind": altered(typ="refresh", serial=1) if is_access else altered(typ="access"),
        "claim missing (sid)": without("sid"),
        "claim missing (jti)": without("jti"),
        "claim missing (exp)": without("exp"),
        "claim added": altered(admin=True),
        "other tenant's company": altered(cid=theirs["cid"]),
        "other person": altered(sub=theirs["sub"]),
        "other person's session": altered(sid=theirs["sid"]),
        "session that never was": altered(sid=str(uuid4())),
        "id in capitals": altered(sub=payload["sub"].upper()),
        "id with braces": altered(sub="{" + payload["sub"] + "}"),
        "duplicate claim": signed(header, twice.encode(), key),
        "payload no object": signed(header, [payload], key),
        "payload no JSON": signed(header, b"\xff\xfe", key),
        "payload very deep": signed(header, b"[" * 900 + b"]" * 900, key),
        "payload swapped": f"{head}.{other_tenant.split('.')[1]}.{signature}",
        "signature cut": genuine[:-4],
        "signature empty": f"{head}.{body}.",
        "signature not canonical": genuine[:-1] + chr(ord(genuine[-1]) ^ 1)
        if genuine[-1] not in "-_"
        else genuine + "=",
        "signature padded": genuine + "=",
        "two parts": f"{head}.{body}",
        "four parts": genuine + "." + signature,
        "five parts (JWE)": ".".join([head, "", body, body, signature]),
        "unicode look-alike": genuine.replace(".", "\u2024", 1).encode().decode("latin-1"),
        "null byte inside": genuine[:20] + "%00" + genuine[20:],
        "spaces inside": genuine.replace(".", " . "),
        "too long": genuine + "A" * 5000,
        "nothing": ".",
        "a text": "undefined",
    }


KINDS = 60


def accepted(firms: Worlds) -> set[str]:
    """The kinds of forged access tokens that the API takes for genuine."""
    genuine, other = firms.acme.api("sales").token, firms.globex.api("sales").token
    assert Api(genuine).get("/auth/me/").status_code == 200, "the control must pass"
    corpus = forged(genuine, other)
    assert len(corpus) == KINDS
    return {kind for kind, token in corpus.items() if Api(token).get("/auth/me/").status_code != 401}


def accepted_to_refresh(firms: Worlds) -> set[str]:
    """The kinds of forged refresh tokens that are given a new pair."""
    genuine, other = (
        sign_in(email=firm.email("sales"), password=PASSWORD, now=timezone.now()).refresh
        for firm in (firms.acme, firms.globex)
    )
    found = set()
    for kind, token in forged(genuine, other).items():
        with transaction.atomic():
            if Api().post("/auth/refresh/", {"refresh": token}).status_code == 200:
                found.add(kind)
            # A forged token that was taken is spent; the next kind is to meet the same session.
            transaction.set_rollback(True)
    assert Api().post("/auth/refresh/", {"refresh": genuine}).status_code == 200, "the control must pass"
    return found


class TestForgedTokens:
    def test_are_never_accepted(self, firms):
        assert accepted(firms) == set()

    def test_are_never_given_a_new_pair(self, firms):
        assert accepted_to_refresh(firms) == set()

    def test_say_only_expired_or_invalid_or_ended(self, firms):
        corpus = forged(firms.acme.api("sales").token, firms.globex.api("sales").token)
        codes = {Api(token).get("/auth/me/").json()["code"] for token in corpus.values()}
        assert codes <= {"token_invalid", "token_expired", "session_ended"}

    def test_of_another_scheme_are_refused(self, firms):
        token = firms.acme.api("sales").token
        for scheme in ("Api-Key", "Basic", "Token", "JWT"):
            assert Api(token, scheme).get("/auth/me/").status_code == 401

    def test_an_access_token_does_not_refresh(self, firms):
        token = firms.acme.api("sales").token
        answer = Api().post("/auth/refresh/", {"refresh": token})
        assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
