"""Would the tests of tokens and sessions notice? Each fault is put in for a moment, and the same checks must tell of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jwt
import pytest

from core.identity import queries, tokens
from core.identity.models import AuthSession
from core.identity.operations import sessions
from core.rest import authentication
from tests.core.identity.test_sessions import (
    ENDINGS,
    LISTED,
    REFUSED,
    answers_after_its_end,
    outlives,
    wrongs_of_reuse,
)
from tests.core.identity.test_tokens import accepted, accepted_to_refresh
from tests.worlds import Worlds

Patch = pytest.MonkeyPatch
Seed = Callable[[Patch], None]


@pytest.fixture(autouse=True)
def _fresh_tokens() -> Iterator[None]:
    """Genuine tokens are remembered, and forged ones that a fault let through."""
    remembered = tokens._genuine
    remembered.cache_clear()
    yield
    remembered.cache_clear()


def _without(patch: Patch, module: Any, statement: str, condition: str, instead: str = "") -> None:
    sql: str = getattr(module, statement)
    assert condition in sql
    patch.setattr(module, statement, sql.replace(condition, instead))


# --- access tokens -----------------------------------------------------------------------------------------------------


def signature_not_checked(patch: Patch) -> None:
    def verified(token: str, keys: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        with patch.context() as inner:
            inner.setattr(tokens.jwt, "decode", lambda *_, **__: {})
            return plain(token, keys)

    plain = tokens._verified
    patch.setattr(tokens, "_verified", verified)


def alg_none_accepted(patch: Patch) -> None:
    def verified(token: str, keys: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        if token.endswith(".") and token.count(".") == 2 and len(token) > 2:
            header = tokens._json(token.split(".")[0])
            if header["alg"].lower() == "none":
                return tokens._json(token.split(".")[1])
        return plain(token, keys)

    plain = tokens._verified
    patch.setattr(tokens, "_verified", verified)


def header_left_to_the_library(patch: Patch) -> None:
    def verified(token: str, keys: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        key = dict(keys).get(jwt.get_unverified_header(token).get("kid", ""), "")
        return jwt.decode(token, key, algorithms=["HS256", "HS512"], options=tokens._SIGNATURE_ONLY)  # type: ignore[arg-type]

    patch.setattr(tokens, "_verified", verified)


def any_key_will_do(patch: Patch) -> None:
    def verified(token: str, keys: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        kid = jwt.get_unverified_header(token).get("kid")
        return plain(token, (*keys, (kid, keys[0][1])) if isinstance(kid, str) else keys)

    plain = tokens._verified
    patch.setattr(tokens, "_verified", verified)


def _reading(patch: Patch, change: Callable[[dict[str, Any], str], Mapping[str, Any]]) -> None:
    plain = tokens._read
    patch.setattr(tokens, "_read", lambda payload, kind: plain(change(dict(payload), kind), kind))


def issuer_ignored(patch: Patch) -> None:
    _reading(patch, lambda payload, kind: payload | {"iss": tokens.ISSUER})


def audience_ignored(patch: Patch) -> None:
    _reading(patch, lambda payload, kind: payload | {"aud": tokens.AUDIENCE})


def kind_ignored(patch: Patch) -> None:
    def change(payload: dict[str, Any], kind: str) -> dict[str, Any]:
        claims = payload | {"typ": kind, "exp": payload["iat"] + int(tokens._LIFETIMES[kind].total_seconds())}
        return {name: claims[name] for name in tokens._CLAIMS[kind] if name in claims}

    _reading(patch, change)


def expiry_ignored(patch: Patch) -> None:
    def genuine(token: str, kind: str, keys: tuple[tuple[str, str], ...]) -> tuple[tokens.Claims, int, int]:
        claims, issued, _ = plain(token, kind, keys)
        return claims, issued, 2**53

    plain = tokens._genuine
    patch.setattr(tokens, "_genuine", genuine)


def session_of_any_company(patch: Patch) -> None:
    _without(patch, queries, "_BY_OWN_SESSION", "AND s.company_id = %(company)s::uuid")


def session_of_any_person(patch: Patch) -> None:
    _without(patch, queries, "_BY_OWN_SESSION", "AND s.user_id = %(user)s::uuid")


ACCESS: list[tuple[Seed, set[str]]] = [
    (signature_not_checked, {"signed with another key", "signed with an empty key", "payload swapped"}),
    (alg_none_accepted, {"alg none"}),
    (
        header_left_to_the_library,
        {"alg HS512 under our key", "key in the header (jwk)", "typ of another kind"},
    ),
    (any_key_will_do, {"kid unknown", "kid as a path", "kid as SQL"}),
    (issuer_ignored, {"wrong issuer"}),
    (audience_ignored, {"wrong audience", "audience as a list"}),
    (kind_ignored, {"of the other kind"}),
    (expiry_ignored, {"expired"}),
    (session_of_any_company, {"other tenant's company"}),
    (session_of_any_person, {"other person"}),
]


class TestForgedTokens:
    @pytest.mark.parametrize(("seed", "kinds"), ACCESS, ids=lambda part: getattr(part, "__name__", ""))
    def test_that_a_fault_lets_through_are_seen(
        self, firms: Worlds, monkeypatch: Patch, seed: Seed, kinds: set[str]
    ) -> None:
        seed(monkeypatch)
        assert accepted(firms) >= kinds


# --- sessions ------------------------------------------------------------------------------------------------------------


def revoked_session_accepted(patch: Patch) -> None:
    _without(patch, queries, "_BY_OWN_SESSION", "s.revoked_at,", "NULL::timestamptz,")


def revoked_session_renewed(patch: Patch) -> None:
    _without(patch, sessions, "_ROTATE", "AND s.revoked_at IS NULL")


class TestSession:
    @pytest.mark.parametrize(
        ("seed", "living"),
        [(revoked_session_accepted, "access token"), (revoked_session_renewed, "refresh token")],
        ids=lambda part: getattr(part, "__name__", ""),
    )
    def test_that_outlives_its_end_is_seen(
        self, firms: Worlds, monkeypatch: Patch, seed: Seed, living: str
    ) -> None:
        seed(monkeypatch)
        assert living in outlives(firms.acme, ENDINGS[0])


def remembered_without_reading(patch: Patch) -> None:
    found: dict[str, Any] = {}
    plain = authentication.find_actor_by_access_token
    patch.setattr(
        authentication,
        "find_actor_by_access_token",
        lambda token, *more: found.get(token) or found.setdefault(token, plain(token, *more)),
    )


class TestRememberedSession:
    @pytest.mark.parametrize(("path", "status"), [(LISTED, 200), (REFUSED, 400)])
    def test_that_answers_after_its_end_is_seen(
        self, committed_firms: Worlds, monkeypatch: Patch, path: str, status: int
    ) -> None:
        remembered_without_reading(monkeypatch)
        assert answers_after_its_end(committed_firms.acme, ENDINGS[0], path) == (status, status)


# --- families of refresh tokens --------------------------------------------------------------------------------------------


def reuse_ends_nothing(patch: Patch) -> None:
    plain = sessions._revoke
    patch.setattr(
        sessions,
        "_revoke",
        lambda found, reason, now: reason != "refresh_reused" and plain(found, reason, now),
    )


def reuse_ends_every_session_of_the_person(patch: Patch) -> None:
    def revoke(found: Any, reason: str, now: Any) -> int:
        people = AuthSession.objects.filter(user_id__in=list(found.values_list("user_id", flat=True)))
        return plain(people, reason, now)

    plain = sessions._revoke
    patch.setattr(sessions, "_revoke", revoke)


def reuse_ends_every_session(patch: Patch) -> None:
    plain = sessions._revoke
    patch.setattr(
        sessions, "_revoke", lambda found, reason, now: plain(AuthSession.objects.all(), reason, now)
    )


def spent_token_stays_good(patch: Patch) -> None:
    _without(patch, sessions, "_ROTATE", "AND s.refresh_serial = %(serial)s::int")


def serial_stands_still(patch: Patch) -> None:
    _without(patch, sessions, "_ROTATE", "s.refresh_serial + 1", "s.refresh_serial")


FAMILIES: list[tuple[Seed, set[str]]] = [
    (reuse_ends_nothing, {"the next refresh token lives on", "the next access token lives on"}),
    (reuse_ends_every_session_of_the_person, {"another sign-in of the person is ended"}),
    (reuse_ends_every_session, {"another person is ended"}),
    (spent_token_stays_good, {"the spent token is taken"}),
    (serial_stands_still, {"the spent token is taken"}),
]


def family_of_another_person(patch: Patch) -> None:
    _without(patch, sessions, "_ROTATE", "AND s.user_id = %(user)s::uuid")


def family_of_another_company(patch: Patch) -> None:
    _without(patch, sessions, "_ROTATE", "AND s.company_id = %(company)s::uuid")


class TestFamilies:
    @pytest.mark.parametrize(("seed", "wrongs"), FAMILIES, ids=lambda part: getattr(part, "__name__", ""))
    def test_that_are_not_ended_right_are_seen(
        self, firms: Worlds, monkeypatch: Patch, seed: Seed, wrongs: set[str]
    ) -> None:
        seed(monkeypatch)
        assert wrongs_of_reuse(firms.acme) >= wrongs

    @pytest.mark.parametrize(
        ("seed", "kind"),
        [(family_of_another_person, "other person"), (family_of_another_company, "other tenant's company")],
        ids=lambda part: getattr(part, "__name__", ""),
    )
    def test_of_others_are_seen(self, firms: Worlds, monkeypatch: Patch, seed: Seed, kind: str) -> None:
        seed(monkeypatch)
        assert kind in accepted_to_refresh(firms)
