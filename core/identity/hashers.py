"""Password hashing: Argon2id at 19 MiB, two passes, one lane, and never more than a few at once in a process."""

from __future__ import annotations

import threading

from django.contrib.auth.hashers import Argon2PasswordHasher

# 200 sign-ins at once must not take 4 GB: the others wait here.
MAX_CONCURRENT = 4
_slots = threading.BoundedSemaphore(MAX_CONCURRENT)


class Argon2idHasher(Argon2PasswordHasher):
    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        with _slots:
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with _slots:
            return super().verify(password, encoded)
