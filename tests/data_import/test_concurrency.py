"""Steps that run at once: how many, where, and what happens when one fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial

import pytest
from django.db import connection, transaction

from core.tenancy.context import system_context
from data_import.operations.concurrency import CONCURRENCY, run_concurrently

_WORD: ContextVar[str] = ContextVar("word", default="")
PATIENCE = 30


@pytest.mark.django_db(transaction=True)
class TestSideBySide:
    def test_runs_steps_at_once_and_takes_no_more_than_it_has_room_for(self) -> None:
        together = threading.Barrier(CONCURRENCY)
        taken = []

        def steps() -> Iterator[Callable[[], int]]:
            for number in range(3 * CONCURRENCY):
                taken.append(number)
                yield partial(step, number)

        def step(number: int) -> int:
            together.wait(PATIENCE)
            return number

        done = []
        for number in run_concurrently(steps()):
            done.append(number)
            assert len(taken) <= len(done) + CONCURRENCY
        assert sorted(done) == list(range(3 * CONCURRENCY))

    def test_gives_each_step_a_connection_of_its_own_in_the_context_of_the_caller(self) -> None:
        def backend() -> tuple[str, int]:
            with transaction.atomic():
                [(pid,)] = connection.fetch_prepared("SELECT pg_backend_pid()")  # type: ignore[attr-defined]
            return _WORD.get(), pid

        token = _WORD.set("known")
        try:
            with system_context("test"):
                ours = backend()[1]
                found = list(run_concurrently(iter([backend, backend, backend])))
        finally:
            _WORD.reset(token)
        assert {word for word, _ in found} == {"known"}
        assert ours not in {pid for _, pid in found}

    def test_raises_what_a_step_raises_when_the_others_have_ended(self) -> None:
        may_end = threading.Event()
        ended = []

        def fails() -> None:
            may_end.set()
            raise KeyError("the first")

        def goes_on() -> None:
            may_end.wait(PATIENCE)
            ended.append(True)

        with pytest.raises(KeyError, match="the first"):
            list(run_concurrently(iter([fails, goes_on])))
        assert ended == [True]

    def test_raises_what_the_steps_themselves_raise(self) -> None:
        def steps() -> Iterator[Callable[[], int]]:
            yield lambda: 1
            raise ValueError("no more")

        with pytest.raises(ValueError, match="no more"):
            list(run_concurrently(steps()))


@pytest.mark.django_db
def test_stays_in_the_transaction_that_is_open() -> None:
    threads = list(run_concurrently(iter([threading.get_ident] * 3)))
    assert threads == [threading.get_ident()] * 3
