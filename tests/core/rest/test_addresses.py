"""Whose request it is: a proxy is believed only where the deployer has named it."""

from __future__ import annotations

import pytest
from django.db.models import Max
from django.test import RequestFactory, override_settings

from core.changes.models import ChangeLog
from core.rest.addresses import client_ip
from core.tenancy.context import system_context
from tests.worlds import ApiClient, World

PROXY = "10.0.0.7"


def seen(*, peer: str = PROXY, trusted: tuple[str, ...] = ("10.0.0.0/8",), header: str = "", **headers: str):
    request = RequestFactory().get("/", REMOTE_ADDR=peer, **headers)
    with override_settings(TRUSTED_PROXIES=trusted, TRUSTED_PROXY_HEADER=header or "X-Forwarded-For"):
        return client_ip(request)


class TestClientIp:
    def test_is_the_peer_where_no_proxy_is_trusted(self):
        assert seen(trusted=(), HTTP_X_FORWARDED_FOR="1.2.3.4") == PROXY
        assert seen(trusted=(), HTTP_FORWARDED="for=1.2.3.4") == PROXY

    def test_is_the_peer_where_it_is_no_proxy(self):
        assert seen(peer="9.9.9.9", HTTP_X_FORWARDED_FOR="1.2.3.4") == "9.9.9.9"

    @pytest.mark.parametrize(
        ("value", "ip"),
        [
            ("1.2.3.4", "1.2.3.4"),
            ("1.2.3.4:5678", "1.2.3.4"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            # What the client made up stands before what the proxy saw.
            ("6.6.6.6, 1.2.3.4", "1.2.3.4"),
            ("6.6.6.6, 10.9.9.9, 1.2.3.4, 10.0.0.1", "1.2.3.4"),
            ("10.9.9.9, 10.0.0.1", "10.9.9.9"),
            ("1.2.3.4, rubbish", PROXY),
            ("rubbish, 1.2.3.4", "1.2.3.4"),
            ("", PROXY),
            ("," * 5_000, PROXY),
            ("x" * 5_000, PROXY),
        ],
    )
    def test_behind_a_proxy_is_the_one_it_saw(self, value, ip):
        assert seen(HTTP_X_FORWARDED_FOR=value) == ip

    @pytest.mark.parametrize(
        ("value", "ip"),
        [
            ("for=1.2.3.4", "1.2.3.4"),
            ('for="[2001:db8::1]:4711";proto=https', "2001:db8::1"),
            ("for=6.6.6.6, proto=https;For=1.2.3.4;by=10.0.0.7", "1.2.3.4"),
            ("for=_hidden", PROXY),
            ("for=unknown", PROXY),
            ("by=1.2.3.4", PROXY),
        ],
    )
    def test_reads_the_header_that_was_chosen_and_no_other(self, value, ip):
        assert seen(header="Forwarded", HTTP_FORWARDED=value, HTTP_X_FORWARDED_FOR="6.6.6.6") == ip
        assert seen(HTTP_FORWARDED=value, HTTP_X_FORWARDED_FOR="7.7.7.7") == "7.7.7.7"


class TestTrustedProxies:
    """Throttle and change log know the client, not the proxy; the back office asks the same function."""

    def test_one_attacker_behind_the_proxy_keeps_nobody_else_out(self, acme: World, globex: World) -> None:
        with system_context("test"):
            before = ChangeLog.objects.aggregate(last=Max("pk"))["last"] or 0

        def sign_in(email: str, password: str, client: str) -> int:
            body = {"email": email, "password": password}
            return ApiClient().post("/api/v1/auth/login/", body, HTTP_X_FORWARDED_FOR=client).status_code

        with override_settings(TRUSTED_PROXIES=("127.0.0.1",)):
            for number in range(105):
                # The attacker makes up addresses; the proxy adds the real one.
                sign_in(f"{number}@x.example", "guess", f"8.8.8.{number}, 6.6.6.6")
            assert sign_in(acme.email("sales"), "wrong", "6.6.6.6") == 429
            assert sign_in(globex.email("sales"), "wrong", "1.2.3.4") == 401
        with system_context("test"):
            made = ChangeLog.objects.filter(action="login_failed", pk__gt=before)
            addresses = set(made.values_list("context__ip", flat=True))
        assert addresses == {"6.6.6.6", "1.2.3.4"}
