"""Steps that do not build on each other, some of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from itertools import islice
from typing import TypeVar

from django.db import connection

T = TypeVar("T")

# What PostgreSQL works on at once for one import; this process only waits meanwhile.
CONCURRENCY = 2


def run_concurrently(steps: Iterator[Callable[[], T]]) -> Iterator[T]:
    """What the steps return, as they end. A step is taken from the iterator when there is room for it.

    Each runs in a thread with a database connection of its own, in the context of the caller; inside an open transaction,
    which threads would not see, they run here one after another. Raises what a step raises, when those under way have ended.
    """
    if connection.in_atomic_block:
        for step in steps:
            yield step()
        return

    def in_own_connection(step: Callable[[], T]) -> T:
        try:
            return step()
        finally:
            connection.close()

    with ThreadPoolExecutor(CONCURRENCY) as pool:
        running: set[Future[T]] = set()
        while True:
            free = islice(steps, CONCURRENCY - len(running))
            running |= {pool.submit(copy_context().run, in_own_connection, step) for step in free}
            if not running:
                return
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                yield future.result()
