"""Four intentions about transactions, each with its own name."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from core.kernel.errors import Unavailable

T = TypeVar("T")

# A statement that this connection keeps prepared has other columns since a migration.
PLAN_CHANGED = "0A000"
# serialization_failure, deadlock_detected: the database asks for the whole transaction again. 26000: a pooler moved the
# connection to a server that does not know its prepared statements (see `core.database.prepared`).
RETRIED_STATES = frozenset({"40001", "40P01", "26000", PLAN_CHANGED})
MAX_ATTEMPTS = 4
BACKOFF_SECONDS = 0.02


class OutcomeUnknown(Unavailable):
    """The connection died during COMMIT: the work is done as a whole, or not at all, and nobody knows which."""

    code = "outcome_unknown"
    title = (
        "The connection to the database was lost while the work was committed. It is done, or nothing of it is: look, or "
        "repeat the request with the same Idempotency-Key"
    )


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


def _is_lost(error: DatabaseError, state: str) -> bool:
    """Whether the connection went away, rather than the server refusing."""
    is_about_connection = isinstance(error, OperationalError | InterfaceError)
    return is_about_connection and (not state or state.startswith(("08", "57P")))


@contextmanager
def limits(*, statement_seconds: float | None = None, lock_seconds: float | None = None) -> Iterator[None]:
    """In the open transaction, let statements run and wait for locks this long, where a piece of work needs more or less than
    its kind of process gives (`DATABASE_TIMEOUTS`). 0: without limit. The former limits hold again behind the block."""
    needs_transaction()
    chosen = {"statement_timeout": statement_seconds, "lock_timeout": lock_seconds}
    with connection.cursor() as cursor:
        before = {}
        for name, seconds in chosen.items():
            if seconds is not None:
                cursor.execute("SELECT current_setting(%s)", [name])
                before[name] = cursor.fetchone()[0]
                cursor.execute("SELECT set_config(%s, %s, true)", [name, str(int(seconds * 1000))])
        yield
        for name, value in before.items():
            cursor.execute("SELECT set_config(%s, %s, true)", [name, value])


def retried(work: Callable[[], T]) -> T:
    """Run `work` in a transaction of its own; a deadlock or serialization failure starts it again from the top.

    `work` must have no effect outside the database. Inside an open transaction it runs once: only the outermost
    transaction can be repeated, and only it commits. Raises: OutcomeUnknown when the connection died during its COMMIT.
    """
    if connection.in_atomic_block:
        return work()
    for attempt in range(1, MAX_ATTEMPTS + 1):
        is_committing = False
        try:
            with transaction.atomic():
                result = work()
                is_committing = True
            return result
        except DatabaseError as error:
            state = sql_state(error)
            if is_committing and _is_lost(error, state):
                raise OutcomeUnknown(retry_after=1) from error
            if state not in RETRIED_STATES or attempt == MAX_ATTEMPTS:
                raise
            if state == PLAN_CHANGED:
                # What is prepared goes with the connection.
                connection.close()
            # Spread the rivals; this is jitter, not cryptography.
            time.sleep(BACKOFF_SECONDS * attempt * (1 + random.random()))  # noqa: S311
    raise AssertionError("unreachable")
