"""Password hashes: their cost, and how many run at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from argon2 import extract_parameters
from django.contrib.auth.hashers import Argon2PasswordHasher, check_password, make_password

from core.identity import hashers
from core.identity.operations.passwords import is_password

ARGON = ["core.identity.hashers.Argon2idHasher"]


class TestArgon2idHasher:
    def test_costs_19_mib_two_passes_one_lane(self, settings):
        settings.PASSWORD_HASHERS = ARGON
        encoded = make_password("secret")
        found = extract_parameters(encoded.removeprefix("argon2"))
        assert (found.memory_cost, found.time_cost, found.parallelism) == (19 * 1024, 2, 1)
        assert found.type.name == "ID"
        assert check_password("secret", encoded)
        assert not check_password("Secret", encoded)

    def test_asks_for_renewal_of_cheaper_hashes(self, settings):
        settings.PASSWORD_HASHERS = ARGON
        cheap = Argon2PasswordHasher()
        cheap.memory_cost, cheap.time_cost, cheap.parallelism = 1024, 1, 1
        assert is_password("secret", cheap.encode("secret", "a" * 22)) == (True, True)
        assert is_password("secret", make_password("secret")) == (True, False)

    def test_never_runs_more_than_a_few_at_once(self, settings, monkeypatch):
        settings.PASSWORD_HASHERS = ARGON
        lock, running, most = threading.Lock(), 0, 0

        def slow(self, password, salt):
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.01)
            with lock:
                running -= 1
            return "argon2$x"

        monkeypatch.setattr(Argon2PasswordHasher, "encode", slow)
        with ThreadPoolExecutor(40) as pool:
            list(pool.map(make_password, ["secret"] * 200))
        assert 1 < most <= hashers.MAX_CONCURRENT
