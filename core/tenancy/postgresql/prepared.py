"""Statements that the server parses and plans once per connection, several of them in one round trip.

psycopg forgets its prepared statements with every rollback and converts long statements anew each time they run; here a
statement stays prepared until it is the one used longest ago of many.

Process and server work side by side where they can: a premise is sent before anybody needs its rows, the rows of a last
statement come while the server still writes the transaction to its disk, and a last statement that is foreseen goes with
the write it reads from.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
MANY_BYTES = 20_000
# Rows are read in portions of so many, while the server makes those behind them.
ROWS_AT_ONCE = 25
# The table changed under a statement; prepared again, it works.
_OUTDATED = "0A000"
_PLACEHOLDER = re.compile(r"%(?:%|s|\((\w+)\)s)")
_FAILED = frozenset({pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE, pq.ExecStatus.PIPELINE_ABORTED})

Params = Sequence[Any] | Mapping[str, Any] | None
# SQL, parameters, and whether it may be prepared.
Statement = tuple[str, Params, bool]

# Makes something of rows.
Reading = Callable[[list[tuple[Any, ...]]], list[tuple[Any, ...]]]
# The statement and the types of its parameters.
_Key = tuple[bytes, tuple[int, ...]]


class PremiseFailed(Exception):
    """What was taken for granted is not so; nothing that followed from it counts."""


@dataclass(frozen=True, slots=True)
class Premise:
    """The rows that a statement is taken to have, ids and times as the server writes them, until they are read."""

    statement: Statement
    rows: list[tuple[Any, ...]]
    # Told when the premise fails, so that it is not taken for granted again.
    otherwise: Callable[[], object]


@dataclass(slots=True)
class Foreseen:
    """The last statement of a transaction, known before the write that it reads from: it fails where nothing was written."""

    statement: Statement
    each: Reading | None
    # The write has run, so that no other statement may come before this one.
    is_next: bool = False
    # It went with the write; if it failed, nothing was committed.
    is_read: bool = False
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    failure: Exception | None = None


@dataclass(slots=True)
class _Step:
    """One message to the server: it prepares a statement under a name, runs a prepared one, or neither."""

    send: Callable[[], None]
    prepares: tuple[_Key, bytes] | None = None
    runs: _Key | None = None
    premise: Premise | None = None
    # Reads rows while others are still on their way.
    read: Callable[[pq.abc.PGresult], list[tuple[Any, ...]]] | None = None
    # What the server answers: the rows that were read, and the result that ends them.
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    result: pq.abc.PGresult = field(init=False)


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
    if list in map(type, values):
        for value in values:
            if type(value) is list and len(value) > MANY_ELEMENTS:
                return True
    return False


# Types whose values cost more to turn into Python's than to read.
WRITTEN = ("uuid", "date", "time", "timestamp", "timestamptz", "numeric", "json", "jsonb")


class _Writing:
    """The adaptation of a connection, with values of `WRITTEN` types as texts."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.adapters = AdaptersMap(connection.adapters)
        for name in WRITTEN:
            self.adapters.register_loader(name, TextLoader)


class _Pipeline:
    """Steps on their way, in their order; each is sent before the results of those ahead of it are read.

    What is sent `now` is begun before anything follows. Whoever is interrupted in between leaves a connection that nobody
    knows the state of: it is closed.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._wire = connection.pgconn
        # What was sent and not heard of, how many of it the server answers by itself, and whether it knows that nothing
        # follows.
        self.waiting: list[_Step] = []
        self._asked = 0
        self._is_complete = False

    @property
    def is_open(self) -> bool:
        return bool(self._wire.pipeline_status)

    def send(self, steps: Sequence[_Step], now: bool) -> None:
        """What does not fit into the socket goes with what follows."""
        with self:
            self._put(steps)
            if now:
                self._wire.send_flush_request()
                self._asked = len(self.waiting)
                self._wire.flush()

    def overhear(self) -> list[_Step]:
        """The results of the premises that wait, and of what is ahead of them."""
        with self:
            count = max((place for place, step in enumerate(self.waiting, 1) if step.premise), default=0)
            if count > self._asked:
                self._wire.send_flush_request()
            heard = self.waiting[:count]
            self._connection.wait(_received(self._wire, heard))
            self._forget(heard)
        return heard

    def hear(self, steps: Sequence[_Step] = (), last: _Step | None = None) -> list[_Step]:
        """Send the steps, behind which nothing follows, and read the results of all that waits. The server goes on to the
        `last` step, which is left waiting."""
        with self:
            if len(steps) == 1 and not self.is_open and last is None:
                steps[0].send()
                self._connection.wait(_received(self._wire, steps))
                return [*steps]
            self._put(steps)
            heard = [*self.waiting]
            if last is not None:
                # The results before it come at once.
                self._wire.send_flush_request()
                self._put([last])
            if not self._is_complete:
                self._wire.pipeline_sync()
                self._is_complete = True
            self._connection.wait(_received(self._wire, heard, to_the_sync=last is None))
            self._forget(heard)
            if last is None:
                self._wire.exit_pipeline_mode()
                self._is_complete = False
        return heard

    def _forget(self, heard: Sequence[_Step]) -> None:
        del self.waiting[: len(heard)]
        self._asked = max(0, self._asked - len(heard))

    def _put(self, steps: Sequence[_Step]) -> None:
        if not self.is_open:
            self._wire.enter_pipeline_mode()
        for step in steps:
            step.send()
        self.waiting += steps

    def __enter__(self) -> None:
        self._connection.lock.acquire()

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        try:
            if failure is not None:
                self.waiting.clear()
                self._connection.close()
        finally:
            self._connection.lock.release()


class PreparedStatements:
    """The prepared statements of one connection, which must belong to this thread."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._pipeline = _Pipeline(connection)
        # Kept, since each has to find out anew how values of a type are written and read.
        self._values = Transformer(connection)
        self._texts = Transformer(_Writing(connection))
        self._names: OrderedDict[_Key, bytes] = OrderedDict()
        self._unneeded: list[bytes] = []
        self._numbers = count(1)

    def send(self, *statements: Statement, premise: Premise | None = None, now: bool = False) -> None:
        """Send the statements, and that of the premise behind them, with those of the next `fetch`, which looks at what came of
        them; or `now`, so that the server begins with all that waits. Starts the transaction if need be.

        Raises: psycopg.Error when they cannot be sent.
        """
        steps = self._opening()
        for statement in statements if premise is None else (*statements, premise.statement):
            steps += self._running(statement)
        if premise is not None:
            steps[-1].premise = premise
        self._pipeline.send(steps, now)

    def fetch(
        self,
        *statements: Statement,
        commit: bool = False,
        wait: bool = True,
        as_texts: bool = False,
        each: Reading | None = None,
        then: Foreseen | None = None,
    ) -> list[tuple[Any, ...]]:
        """Run the statements in one round trip, behind what was sent, and return the rows of the last. Starts the transaction
        if need be, and with `commit` ends it; unless that is to `wait`, `finish` does. What comes `then` goes along, and nothing
        is committed if it fails; that is not waited for.

        A statement with large parameters, or one that may not be prepared, is planned for its values. `as_texts` leaves
        values of `WRITTEN` types as the server writes them. `each` makes something of portions of the rows while the server
        is still busy with those behind them; what it makes is returned in their place.
        Raises: psycopg.Error of the first that failed, and those behind it did not run; PremiseFailed when the statement of
        a premise that was sent has other rows.
        """
        steps = self._opening()
        for statement in statements:
            steps += self._running(statement)
        if statements:
            asked = steps[-1]
            asked.read = partial(_rows, self._texts if as_texts else self._values, each=each)
        behind = 0
        if then is not None:
            reading = self._running(then.statement)
            reading[-1].read = partial(_rows, self._texts, each=then.each)
            steps += reading
            behind = len(reading)
            # Nothing is committed on a premise.
            self._raise(self._failure(self._pipeline.overhear()))
        last = None
        if commit:
            last = _Step(partial(self._connection.pgconn.send_query_params, b"COMMIT", None))
            if wait and then is None:
                steps.append(last)
                last = None
        heard = self._pipeline.hear(steps, last)
        self._raise(self._failure(heard[: len(heard) - behind]))
        if then is not None:
            then.is_read, then.rows = True, heard[-1].rows
            then.failure = self._failure(heard[-behind:])
            if then.failure is not None:
                self.abandon()
        while len(self._names) > MAX_STATEMENTS:
            self._unneeded.append(self._names.popitem(last=False)[1])
        return asked.rows if statements else []

    def _raise(self, failure: Exception | None) -> None:
        if failure is not None:
            self.abandon()
            raise failure

    def finish(self) -> None:
        """Wait for the end of the transaction, if the server was told to end it.

        Raises: psycopg.Error when it could not.
        """
        if self._pipeline.is_open:
            failure = self._failure(self._pipeline.hear())
            if failure is not None:
                raise failure

    def abandon(self) -> None:
        """Nobody wants to know any more what came of what was sent."""
        if self._pipeline.is_open:
            self._pipeline.hear()

    def _opening(self) -> list[_Step]:
        """What goes before any statement."""
        wire = self._connection.pgconn
        steps = [
            _Step(partial(wire.send_query_params, b"DEALLOCATE " + name, None)) for name in self._unneeded
        ]
        self._unneeded.clear()
        if wire.transaction_status == pq.TransactionStatus.IDLE and not self._connection.autocommit:
            steps.append(_Step(partial(wire.send_query_params, b"BEGIN", None)))
        return steps

    def _running(self, statement: Statement) -> list[_Step]:
        """Runs the statement with its last step; one before it prepares what is new."""
        wire = self._connection.pgconn
        sql, params, may_prepare = statement
        text, names = (sql.encode(), ()) if params is None else _numbered(sql)
        values = [params[name] for name in names] if names else list(params or ())  # type: ignore[index, call-overload]
        dumped = self._values.dump_sequence(values, [PyFormat.AUTO] * len(values))
        types, formats = self._values.types or (), self._values.formats
        if not may_prepare or _is_large(values, dumped):
            return [_Step(partial(wire.send_query_params, text, dumped, types, formats))]
        key = (text, types)
        known = self._names.get(key)
        if known is not None:
            self._names.move_to_end(key)
            return [_Step(partial(wire.send_query_prepared, known, dumped, formats), runs=key)]
        new = b"s%d" % next(self._numbers)
        return [
            _Step(partial(wire.send_prepare, new, text, types), prepares=(key, new)),
            _Step(partial(wire.send_query_prepared, new, dumped, formats), runs=key),
        ]

    def _failure(self, heard: Sequence[_Step]) -> Exception | None:
        """Keep what was prepared; answers what is wrong: a premise, or else the first that failed."""
        failure: Exception | None = None
        for step in heard:
            if step.result.status in _FAILED:
                error = errors.error_from_result(step.result, encoding="utf-8")
                if error.sqlstate == _OUTDATED and step.runs is not None:
                    self._unneeded.append(self._names.pop(step.runs))
                return failure or error
            if step.prepares is not None:
                key, known = step.prepares
                self._names[key] = known
            if step.premise is not None and _rows(self._texts, step.result) != step.premise.rows:
                step.premise.otherwise()
                failure = PremiseFailed()
        return failure


def _rows(transformer: Any, result: pq.abc.PGresult, each: Reading | None = None) -> list[tuple[Any, ...]]:
    transformer.set_pgresult(result)
    rows: list[tuple[Any, ...]] = transformer.load_rows(0, result.ntuples, tuple)
    transformer.set_pgresult(None)
    return rows if each is None else each(rows)


def _received(wire: pq.abc.PGconn, steps: Sequence[_Step], to_the_sync: bool = False) -> PQGen[None]:
    """What the server answers to the steps; `to_the_sync`, also that it has come to their end."""
    yield from generators.send(wire)
    is_sound = True
    for step in steps:
        # Behind one that failed the server answers nothing but that.
        if step.read is not None and is_sound:
            wire.set_chunked_rows_mode(ROWS_AT_ONCE)
        while (result := (yield from generators.fetch(wire))) is not None:
            step.result = result
            is_sound = is_sound and result.status not in _FAILED
            if step.read is not None and result.ntuples:
                step.rows += step.read(result)
    if to_the_sync:
        yield from generators.fetch(wire)
