"""Four intentions about transactions, each with its own name."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, OperationalError, connection, connections, transaction

T = TypeVar("T")

# serialization_failure, deadlock_detected: the database asks for the whole transaction again.
RETRIED_STATES = frozenset({"40001", "40P01"})
MAX_ATTEMPTS = 4
BACKOFF_SECONDS = 0.02


class TransactionMissing(Exception):
    """Code that needs a transaction around it was called without one."""


@contextmanager
def unit_of_work() -> Iterator[None]:
    """Start a transaction here, or join the one that is open."""
    with transaction.atomic(savepoint=False):
        yield


@contextmanager
def savepoint() -> Iterator[None]:
    """Work that may be undone alone; needs a transaction around it."""
    needs_transaction()
    with transaction.atomic():
        yield


def needs_transaction() -> None:
    """Raises: TransactionMissing when no transaction is open."""
    if not connection.in_atomic_block:
        raise TransactionMissing("open a unit of work first")


def sql_state(error: BaseException) -> str:
    """The SQLSTATE behind a Django database error, or an empty text."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def retried(work: Callable[[], T]) -> T:
    """Run `work` in a transaction of its own; a deadlock or serialization failure starts it again from the top.

    `work` must have no effect outside the database. Inside an open transaction it runs once: only the outermost
    transaction can be repeated.
    """
    database: Any = connections[DEFAULT_DB_ALIAS]
    if database.in_atomic_block:
        return work()
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            with transaction.atomic():
                database.ends_with_work = True
                return work()
        except OperationalError as error:
            if sql_state(error) not in RETRIED_STATES or attempt == MAX_ATTEMPTS:
                raise
            # Spread the rivals; this is jitter, not cryptography.
            time.sleep(BACKOFF_SECONDS * attempt * (1 + random.random()))  # noqa: S311
    raise AssertionError("unreachable")
