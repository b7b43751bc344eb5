"""Statements that the server parses and plans once per connection, several of them in one round trip.

psycopg forgets its prepared statements with every rollback and converts long statements anew each time they run; here a
statement stays prepared until it is the one used longest ago of many.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import count
from typing import Any

import psycopg
from psycopg import errors, generators, pq
from psycopg.abc import PQGen
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.types.string import TextLoader

MAX_STATEMENTS = 300
# A prepared plan suits whatever comes, so it expects little. Much to do is worth a plan that sees the values.
MANY_ELEMENTS = 50
LONG_TEXT = 20_000
_MOST: dict[type, int] = {str: LONG_TEXT, list: MANY_ELEMENTS, tuple: MANY_ELEMENTS}
# The table changed under a statement; prepared again, it works.
_OUTDATED = "0A000"
_PLACEHOLDER = re.compile(r"%(?:%|s|\((\w+)\)s)")
_FAILED = frozenset({pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE, pq.ExecStatus.PIPELINE_ABORTED})

Params = Sequence[Any] | Mapping[str, Any] | None
# SQL, parameters, and whether it may be prepared.
Statement = tuple[str, Params, bool]

# The statement and the types of its parameters.
_Key = tuple[bytes, tuple[int, ...]]


class PremiseFailed(Exception):
    """What was taken for granted is not so; nothing that followed from it counts."""


@dataclass(frozen=True, slots=True)
class Premise:
    """The rows that a statement is taken to have, ids and times as the server writes them, until it is run with the next
    one."""

    statement: Statement
    rows: list[tuple[Any, ...]]
    # Told when the premise fails, so that it is not taken for granted again.
    otherwise: Callable[[], None]


@lru_cache(maxsize=4096)
def _numbered(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """The statement with `$1`… for its placeholders, and for each number the name, if the placeholders have names."""
    names: dict[str, int] = {}
    places = count(1)

    def number(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if match[1] is None:
            return f"${next(places)}"
        return f"${names.setdefault(match[1], len(names) + 1)}"

    return _PLACEHOLDER.sub(number, sql).encode(), tuple(names)


def _is_large(value: Any) -> bool:
    most = _MOST.get(type(value))
    return most is not None and len(value) > most


# Types whose values cost more to turn into Python's than to read.
WRITTEN = ("uuid", "date", "time", "timestamp", "timestamptz", "numeric", "json", "jsonb")


class _Writing:
    """The adaptation of a connection, with values of `WRITTEN` types as texts."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.adapters = AdaptersMap(connection.adapters)
        for name in WRITTEN:
            self.adapters.register_loader(name, TextLoader)


class PreparedStatements:
    """The prepared statements of one connection, which must belong to this thread."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        # Kept, since each has to find out anew how values of a type are written and read.
        self._values = Transformer(connection)
        self._texts = Transformer(_Writing(connection))
        self._names: OrderedDict[_Key, bytes] = OrderedDict()
        self._unneeded: list[bytes] = []
        self._numbers = count(1)

    def fetch(
        self,
        *statements: Statement,
        premise: Premise | None = None,
        commit: bool = False,
        as_texts: bool = False,
    ) -> list[tuple[Any, ...]]:
        """Run the statements in one round trip and return the rows of the last. Starts the transaction if need be, and
        with `commit` ends it.

        A statement with large parameters, or one that may not be prepared, is planned for its values. `as_texts` leaves
        values of `WRITTEN` types as the server writes them.
        Raises: psycopg.Error of the first that failed, and those behind it did not run; PremiseFailed when the statement
        of the premise, one of these, has other rows.
        """
        wire = self._connection.pgconn
        sending: list[Callable[[], None]] = []
        # What is prepared and what is run at which place of `sending`.
        prepared: dict[int, tuple[_Key, bytes]] = {}
        run: dict[int, _Key] = {}
        premise_at = last_at = -1
        for name in self._unneeded:
            sending.append(partial(wire.send_query_params, b"DEALLOCATE " + name, None))
        self._unneeded.clear()
        if not self._connection.autocommit and wire.transaction_status == pq.TransactionStatus.IDLE:
            sending.append(partial(wire.send_query_params, b"BEGIN", None))
        for statement in statements:
            sql, params, may_prepare = statement
            text, names = (sql.encode(), ()) if params is None else _numbered(sql)
            values = [params[name] for name in names] if isinstance(params, Mapping) else list(params or ())
            dumped = self._values.dump_sequence(values, [PyFormat.AUTO] * len(values))
            types, formats = self._values.types or (), self._values.formats
            if not may_prepare or any(_is_large(value) for value in values):
                sending.append(partial(wire.send_query_params, text, dumped, types, formats))
                last_at = len(sending) - 1
                continue
            key = (text, types)
            known = self._names.get(key)
            if known is None:
                known = b"s%d" % next(self._numbers)
                prepared[len(sending)] = key, known
                sending.append(partial(wire.send_prepare, known, text, types))
            else:
                self._names.move_to_end(key)
            run[len(sending)] = key
            sending.append(partial(wire.send_query_prepared, known, dumped, formats))
            last_at = len(sending) - 1
            if premise is not None and statement is premise.statement:
                premise_at = last_at
        if commit:
            sending.append(partial(wire.send_query_params, b"COMMIT", None))
        results = self._exchange(sending)
        sound, error = self._note(results, prepared, run)
        if (
            premise is not None
            and premise_at < sound
            and self._rows(results[premise_at], as_texts=True) != premise.rows
        ):
            premise.otherwise()
            raise PremiseFailed
        if error is not None:
            raise error
        if len(self._names) > MAX_STATEMENTS:
            self._unneeded.append(self._names.popitem(last=False)[1])
        return self._rows(results[last_at], as_texts)

    def _note(
        self,
        results: list[pq.abc.PGresult],
        prepared: Mapping[int, tuple[_Key, bytes]],
        run: Mapping[int, _Key],
    ) -> tuple[int, psycopg.Error | None]:
        """Keep what was prepared; answers how many results are sound, and the error of the one behind them."""
        for place, result in enumerate(results):
            if result.status in _FAILED:
                error = errors.error_from_result(result, encoding="utf-8")
                if error.sqlstate == _OUTDATED and place in run:
                    self._unneeded.append(self._names.pop(run[place]))
                return place, error
            if place in prepared:
                key, known = prepared[place]
                self._names[key] = known
        return len(results), None

    def _rows(self, result: pq.abc.PGresult, as_texts: bool = False) -> list[tuple[Any, ...]]:
        transformer = self._texts if as_texts else self._values
        transformer.set_pgresult(result)
        rows: list[tuple[Any, ...]] = transformer.load_rows(0, result.ntuples, tuple)
        transformer.set_pgresult(None)
        return rows

    def _exchange(self, sending: list[Callable[[], None]]) -> list[pq.abc.PGresult]:
        wire = self._connection.pgconn
        with self._connection.lock:
            if len(sending) == 1:
                sending[0]()
                return self._connection.wait(_received(wire, 0))
            wire.enter_pipeline_mode()
            try:
                for send in sending:
                    send()
                wire.pipeline_sync()
                return self._connection.wait(_received(wire, len(sending)))
            finally:
                if wire.status == pq.ConnStatus.OK:
                    wire.exit_pipeline_mode()


def _received(wire: pq.abc.PGconn, piped: int) -> PQGen[list[pq.abc.PGresult]]:
    """One result for each of `piped` statements, the sync behind them read; or that of the only one."""
    if not piped:
        return (yield from generators.execute(wire))
    yield from generators.send(wire)
    results = []
    for _ in range(piped):
        results += yield from generators.fetch_many(wire)
    yield from generators.fetch_many(wire)
    return results
