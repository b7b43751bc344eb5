"""Guessing is slow."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from core.identity.models import LoginThrottle
from core.identity.operations import throttle
from core.identity.operations.sessions import sign_in
from core.kernel.errors import NotSignedIn, TooManyRequests
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from tests.core.identity.test_sessions import login, race
from tests.worlds import PASSWORD


class TestThrottle:
    def test_evaluates_at_most_ten_of_a_hundred_wrong_passwords_at_once(self, committed_firms, monkeypatch):
        from core.identity.operations import sessions

        evaluated: list[int] = []
        original = sessions.is_password

        def counted(password, stored):
            evaluated.append(1)
            return original(password, stored)

        monkeypatch.setattr(sessions, "is_password", counted)

        def guess(number: int) -> None:
            for attempt in range(5):
                try:
                    sign_in(
                        email="sales@acme.test",
                        password=f"guess {number} {attempt}",
                        now=timezone.now(),
                    )
                except (NotSignedIn, TooManyRequests):
                    continue

        assert race(20, guess) == [None] * 20
        assert 1 <= len(evaluated) <= 10

    def test_counts_the_unknown_like_the_known(self, firms):
        for email in ("sales@acme.test", "nobody@acme.test"):
            statuses = [login(email, "wrong password").status_code for _ in range(7)]
            assert statuses == [401] * 5 + [429] * 2

    def test_says_when_to_come_back(self, firms):
        for _ in range(5):
            login("sales@acme.test", "wrong password")
        answer = login("sales@acme.test")
        assert answer.status_code == 429
        assert 1 <= int(answer["Retry-After"]) <= throttle.FIRST_DELAY_SECONDS

    def test_waits_longer_each_time_and_never_for_good(self, db):
        tries, now = [throttle.of_account("a@b.example")], timezone.now()
        for _ in range(4):
            throttle.claim(tries, now)
        waits = []
        for _ in range(12):
            throttle.claim(tries, now)
            with pytest.raises(TooManyRequests) as caught:
                throttle.claim(tries, now)
            waits.append(caught.value.extra["retry_after"])
            now += timedelta(seconds=waits[-1])
        assert waits[:4] == [10, 20, 40, 80]
        assert waits == sorted(waits)
        assert max(waits) == throttle.LONGEST_DELAY_SECONDS

    def test_lets_one_try_through_after_the_wait(self, db):
        tries, now = [throttle.of_account("a@b.example")], timezone.now()
        for _ in range(5):
            throttle.claim(tries, now)
        later = now + timedelta(seconds=throttle.FIRST_DELAY_SECONDS)
        throttle.claim(tries, later)
        with pytest.raises(TooManyRequests):
            throttle.claim(tries, later)

    def test_starts_afresh_after_the_right_password(self, firms):
        for _ in range(3):
            assert [login("sales@acme.test", "wrong").status_code for _ in range(4)] == [401] * 4
            assert login("sales@acme.test").status_code == 200

    def test_does_not_count_right_passwords_against_an_address(self, firms):
        for _ in range(3):
            login("sales@acme.test")
        with system_context("test"), unit_of_work():
            assert LoginThrottle.objects.get(key="address:127.0.0.1").failures == 0

    def test_stops_an_address_that_tries_many_accounts(self, db):
        now = timezone.now()
        passed = 0
        for number in range(150):
            try:
                throttle.claim(
                    [throttle.of_account(f"{number}@x.example"), throttle.of_address("10.0.0.1")], now
                )
                passed += 1
            except TooManyRequests:
                pass
        assert passed == 100
        throttle.claim([throttle.of_account("140@x.example"), throttle.of_address("10.0.0.2")], now)

    def test_forgets_after_an_hour(self, db):
        tries, now = [throttle.of_account("a@b.example")], timezone.now()
        for _ in range(5):
            throttle.claim(tries, now)
        for _ in range(4):
            throttle.claim(tries, now + timedelta(hours=1, minutes=1))
        with system_context("test"), unit_of_work():
            assert LoginThrottle.objects.get().failures == 4

    def test_keeps_a_device_that_has_signed_in_before_apart_from_strangers(self, firms):
        """One attacker behind the same proxy, or at the same account, keeps nobody out who is known."""
        device = login("sales@acme.test").json()["device"]
        for number in range(130):
            login(f"{number}@x.example", "guess")
        for _ in range(8):
            login("sales@acme.test", "guess")
        assert login("sales@acme.test").status_code == 429
        assert login("both@people.test").status_code == 429
        assert login("sales@acme.test", device=device).status_code == 200
        # The other company's people are none of this device's.
        assert login("sales@globex.test", device=device).status_code == 429

    def test_counts_the_tries_of_a_known_device_too(self, firms):
        device = login("sales@acme.test").json()["device"]
        statuses = [login("sales@acme.test", "guess", device=device).status_code for _ in range(7)]
        assert statuses == [401] * 5 + [429] * 2
        assert login("sales@acme.test").status_code == 200

    @pytest.mark.parametrize("device", ["", "x", "x" * 300, "a:b:c", "é", chr(0)])
    def test_knows_no_forged_device(self, firms, device):
        for _ in range(6):
            login("sales@acme.test", "guess", device=device)
        assert login("sales@acme.test", device=device).status_code in (400, 429)

    def test_lets_no_address_wait_longer_than_a_minute(self, db):
        tries, now = [throttle.of_address("10.0.0.1")], timezone.now()
        for _ in range(99):
            throttle.claim(tries, now)
        for _ in range(10):
            throttle.claim(tries, now)
            with pytest.raises(TooManyRequests) as caught:
                throttle.claim(tries, now)
            assert caught.value.extra["retry_after"] <= 60
            now += timedelta(seconds=60)

    def test_lets_somebody_who_is_signed_in_change_their_password_while_strangers_guess(self, firms):
        api = firms.acme.api("sales")
        for _ in range(8):
            login("sales@acme.test", "guess")
        body = {"current_password": PASSWORD, "new_password": "another calm harbor at dusk"}
        assert api.post("/auth/change-password/", body).status_code == 204

    @pytest.mark.parametrize(
        ("ip", "key"),
        [
            ("10.1.2.3", "address:10.1.2.3"),
            ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
            ("2001:db8:1:2::9", "address:2001:db8:1:2::/64"),
            ("::ffff:10.1.2.3", "address:10.1.2.3"),
            (None, "address:unknown"),
        ],
    )
    def test_knows_an_address_by_its_network(self, ip, key):
        assert throttle.of_address(ip).key == key
