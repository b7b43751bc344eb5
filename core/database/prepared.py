"""Statements that the server parses and plans once per connection, several of them in one round trip.

psycopg forgets its prepared statements with every rollback and converts long statements anew each time they run. Here a
statement stays prepared until `MAX_STATEMENTS` others, or `MAX_BYTES` of them, have been used since.

Names are unique per connection and process, and a statement is closed by protocol rather than by SQL: a pooler may hand one
server connection to many clients. A pooler that does not follow prepared statements at all (PgBouncer before 1.21) loses
them between transactions; the first loss turns keeping off for the connection, and `retried` repeats the transaction.
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import count
from typing import Any

import psycopg
import structlog
from psycopg import capabilities, errors, generators, pq
from psycopg.abc import PQGen
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.types.string import TextLoader

log = structlog.get_logger(__name__)

MAX_STATEMENTS = 300
# And so many bytes of their texts: a server process needs some seventy times as much for their plans. Writes of ever other
# fields are statements of 10 KB each.
MAX_BYTES = 400_000
# A prepared plan suits any values, so it expects few. Large parameters are worth a plan that sees them.
MANY_ELEMENTS = 50
MANY_BYTES = 20_000
# Types whose values cost more to convert to Python's than to read.
TEXT_TYPES = ("uuid", "date", "time", "timestamp", "timestamptz", "numeric", "json", "jsonb")
# The server connection does not know the statement (any more).
LOST = "26000"
# The table changed under the statement; prepared again, it works.
_OUTDATED = "0A000"
_PLACEHOLDER = re.compile(r"%(?:%|s|\((\w+)\)s)")
_FAILED = frozenset({pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE, pq.ExecStatus.PIPELINE_ABORTED})

Params = Sequence[Any] | Mapping[str, Any] | None
# The statement's text and the types of its parameters.
_Key = tuple[bytes, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with psycopg's placeholders. One whose work the parameters do not show is not worth keeping a plan for."""

    sql: str
    params: Params = None
    keep: bool = True


@dataclass(slots=True)
class _Message:
    """One message to the server."""

    send: Callable[[], None]
    # It prepares this statement under this name.
    prepares: tuple[_Key, bytes] | None = None
    # It runs this kept statement.
    runs: _Key | None = None


class PreparedStatements:
    """The prepared statements of one connection, which must belong to this thread."""

    def __init__(self, connection: psycopg.Connection[Any], *, keep: bool = True) -> None:
        self._connection = connection
        self._wire = connection.pgconn
        # Kept, since each has to look up anew how values of a type are written and read.
        self._values = Transformer(connection)
        self._texts = Transformer(_TextAdapters(connection))
        self._keeps = keep
        self._names: OrderedDict[_Key, bytes] = OrderedDict()
        # Of the texts of those.
        self._bytes = 0
        self._unneeded: list[bytes] = []
        self._new_names = map(f"atrium_{secrets.token_hex(8)}_{{}}".format, count(1))

    def fetch(self, *statements: Statement, as_texts: bool = False) -> list[tuple[Any, ...]]:
        """Run the statements in one round trip and return the rows of the last; begins the transaction if need be.

        `as_texts` leaves values of `TEXT_TYPES` as the server writes them. Raises: psycopg.Error of the first statement that
        failed; those after it did not run.
        """
        messages = [
            _Message(partial(self._wire.send_close_prepared, name)) for name in self._evicted()
        ] + self._opening()
        for statement in statements:
            messages += self._running(statement)
        results = self._exchange(messages)
        self._learn(messages, results)
        return _rows(self._texts if as_texts else self._values, results[-1])

    def _opening(self) -> list[_Message]:
        if self._wire.transaction_status != pq.TransactionStatus.IDLE or self._connection.autocommit:
            return []
        return [_Message(partial(self._wire.send_query_params, b"BEGIN", None))]

    def _running(self, statement: Statement) -> list[_Message]:
        """Runs the statement with its last message; one before it prepares a new one."""
        text, names = (statement.sql.encode(), ()) if statement.params is None else _numbered(statement.sql)
        params: Any = statement.params
        values = [params[name] for name in names] if names else list(params or ())
        dumped = self._values.dump_sequence(values, [PyFormat.AUTO] * len(values))
        types, formats = self._values.types or (), self._values.formats
        key = (text, types)
        is_kept = statement.keep and not _is_large(values, dumped)
        if is_kept and key in self._names:
            self._names.move_to_end(key)
            known = self._names[key]
            return [_Message(partial(self._wire.send_query_prepared, known, dumped, formats), runs=key)]
        if not is_kept or not self._has_room():
            return [_Message(partial(self._wire.send_query_params, text, dumped, types, formats))]
        name = next(self._new_names).encode()
        return [
            _Message(partial(self._wire.send_prepare, name, text, types), prepares=(key, name)),
            _Message(partial(self._wire.send_query_prepared, name, dumped, formats), runs=key),
        ]

    def _has_room(self) -> bool:
        """Where libpq cannot close statements by protocol, those that came first stay."""
        return self._keeps and (capabilities.has_send_close_prepared() or not self._is_full(spare=1))

    def _is_full(self, spare: int = 0) -> bool:
        return len(self._names) + spare > MAX_STATEMENTS or self._bytes > MAX_BYTES

    def _evicted(self) -> list[bytes]:
        """The names that the server may forget."""
        while self._is_full():
            (text, _), name = self._names.popitem(last=False)
            self._bytes -= len(text)
            self._unneeded.append(name)
        unneeded, self._unneeded = self._unneeded, []
        return unneeded if capabilities.has_send_close_prepared() else []

    def _exchange(self, messages: Sequence[_Message]) -> list[pq.abc.PGresult]:
        """Send all messages, then read the result of each. Whoever is interrupted in between leaves a connection in an
        unknown state: it is closed."""
        with self._connection.lock:
            try:
                self._wire.enter_pipeline_mode()
                for message in messages:
                    message.send()
                self._wire.pipeline_sync()
                results = self._connection.wait(_received(self._wire, len(messages)))
                self._wire.exit_pipeline_mode()
            except BaseException:
                self._connection.close()
                raise
        return results

    def _learn(self, messages: Sequence[_Message], results: Sequence[pq.abc.PGresult]) -> None:
        """Remember what was prepared; raise what failed."""
        for message, result in zip(messages, results, strict=True):
            if result.status in _FAILED:
                error = errors.error_from_result(result, encoding=self._connection.info.encoding)
                if message.runs is not None and error.sqlstate in (LOST, _OUTDATED):
                    self._forget(message.runs, error)
                raise error
            if message.prepares is not None:
                key, name = message.prepares
                self._names[key] = name
                self._bytes += len(key[0])

    def _forget(self, key: _Key, error: psycopg.Error) -> None:
        if error.sqlstate == LOST:
            self._keeps = False
            self._names.clear()
            self._bytes = 0
            log.warning("prepared_statement_lost", advice="set PREPARED_STATEMENTS=false behind this pooler")
        else:
            self._unneeded.append(self._names.pop(key))
            self._bytes -= len(key[0])


class _TextAdapters:
    """The adaptation of a connection, with values of `TEXT_TYPES` as texts."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.adapters = AdaptersMap(connection.adapters)
        for name in TEXT_TYPES:
            self.adapters.register_loader(name, TextLoader)


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


def _is_large(values: Sequence[Any], dumped: Sequence[Any]) -> bool:
    if sum(map(len, filter(None, dumped))) > MANY_BYTES:
        return True
    return any(type(value) is list and len(value) > MANY_ELEMENTS for value in values)


def _rows(transformer: Any, result: pq.abc.PGresult) -> list[tuple[Any, ...]]:
    transformer.set_pgresult(result)
    rows: list[tuple[Any, ...]] = transformer.load_rows(0, result.ntuples, tuple)
    transformer.set_pgresult(None)
    return rows


def _received(wire: pq.abc.PGconn, expected: int) -> PQGen[list[pq.abc.PGresult]]:
    """The result of each message, and the server's word that it has come to their end."""
    yield from generators.send(wire)
    results = []
    for _ in range(expected):
        while (result := (yield from generators.fetch(wire))) is not None:
            last = result
        results.append(last)
    yield from generators.fetch(wire)
    return results
