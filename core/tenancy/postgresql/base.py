"""Django's PostgreSQL backend, plus the tenancy context.

Before the first statement of a transaction, and whenever the context has changed since, one statement sets the company,
the facts for the change log and the database role. All are local to the transaction, so a pooler in transaction mode is
safe. Statements outside a transaction run as the application role without a company: row-level security shows nothing.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError, ProgrammingError, connections
from django.db.backends.postgresql import base, operations
from django.db.transaction import TransactionManagementError
from psycopg.errors import InvalidParameterValue
from psycopg.pq import TransactionStatus

from core.tenancy import context
from core.tenancy.postgresql.prepared import (
    Foreseen,
    Params,
    Premise,
    PremiseFailed,
    PreparedStatements,
    Reading,
    Statement,
)

APP_ROLE = "crm_app"
PLATFORM_ROLE = "crm_platform"

_BIND = (
    "SELECT set_config('app.company_id', %s::text, true), set_config('app.context', %s::text, true), "
    "set_config('app.context_id', '', true), set_config('role', %s::text, true)"
)

_as_owner: ContextVar[bool] = ContextVar("database_owner", default=False)


@contextmanager
def database_owner() -> Iterator[None]:
    """Statements run as the login role that owns the tables: migrations and test databases only."""
    token = _as_owner.set(True)
    _close_idle()
    try:
        yield
    finally:
        _close_idle()
        _as_owner.reset(token)


def database() -> DatabaseWrapper:
    """The connection of this thread."""
    return cast(DatabaseWrapper, connections[DEFAULT_DB_ALIAS])


def _close_idle() -> None:
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


class DatabaseOperations(operations.DatabaseOperations):
    def execute_sql_flush(self, sql_list: Iterable[str]) -> None:
        # TRUNCATE belongs to the owner; tests that commit need it between cases.
        with database_owner():
            super().execute_sql_flush(sql_list)


class DatabaseWrapper(base.DatabaseWrapper):
    ops_class = DatabaseOperations

    @property
    def _restricted(self) -> bool:
        return not _as_owner.get() and "rls" in settings.TENANCY_LOCKS

    def init_connection_state(self) -> None:
        super().init_connection_state()
        self._statements = PreparedStatements(self.connection)
        if self._restricted and self.settings_dict["NAME"] not in (None, "postgres"):
            try:
                with self.connection.cursor() as cursor:
                    cursor.execute(f"SET ROLE {APP_ROLE}")
            except InvalidParameterValue as missing:
                raise OperationalError("The database was never migrated; run manage.py migrate.") from missing
            if not self.get_autocommit():
                self.connection.commit()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The context the open transaction knows; None when it must be told before its next statement.
        self._told: context.Context | None = None
        # The open transaction is one piece of work (`retried`) and no part of a larger one: its last statement may end it.
        self.ends_with_work = False
        # The last statement of the transaction has run, and its end with it.
        self._ended = False
        # What the open transaction takes for granted until the server has been heard.
        self._assumed: Statement | None = None
        # It has sent statements whose answers nobody has read.
        self._is_underway = False
        # Its last statement, where that is known before the write that it reads from.
        self._foreseen: Foreseen | None = None
        # It has something to write to the disk.
        self._has_written = False

    def set_autocommit(
        self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False
    ) -> None:
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
        self._told = self._assumed = self._foreseen = None
        self._ended = self._has_written = self._is_underway = self.ends_with_work = False

    def _cursor(self, name: str | None = None) -> Any:
        self.ensure_connection()
        self._tell_context()
        return super()._cursor(name)  # type: ignore[misc]

    def _tell_context(self) -> None:
        """Tell the open transaction the context of this moment, unless it knows; and hear what it has not heard."""
        untold = self._untold()
        if untold or self._is_underway:
            self._run(*untold)

    def _untold(self) -> list[Statement]:
        """What the transaction must be told before its next statement."""
        if self._ended:
            raise ProgrammingError("A statement comes behind the last one of the transaction.")
        if self._foreseen is not None and self._foreseen.is_next:
            raise ProgrammingError(
                "A statement comes between a write that stands alone and what reads from it."
            )
        now = context.current()
        if self._told is now or self.autocommit:
            return []
        if self.connection.pgconn.transaction_status == TransactionStatus.INERROR:
            # The coming rollback takes the settings back with it.
            return []
        role = "none"
        if self._restricted:
            role = PLATFORM_ROLE if now.system else APP_ROLE
        return [(_BIND, (str(now.company_id or ""), now.for_database(), role), True)]

    def _run(self, *statements: Statement, **options: Any) -> list[tuple[Any, ...]]:
        """Rows of the last statement; `options` as of `PreparedStatements.fetch`."""
        try:
            with self.wrap_database_errors:
                rows = self._statements.fetch(*statements, **options)
        except PremiseFailed:
            self._assumed = None
            raise
        # A statement that could not be sent leaves what is taken for granted to be looked at.
        self._assumed, self._is_underway = None, False
        if statements:
            self._told = context.current()
        return rows

    def assume(
        self, sql: str, params: Params, rows: list[tuple[Any, ...]], otherwise: Callable[[], object]
    ) -> None:
        """Take it for granted, in this transaction, that the statement has these rows (`as_texts`) in this context. It goes to
        the server ahead of the next one, which raises PremiseFailed (after `otherwise()`) if it has others.

        Whoever assumes calls `settle` before anything leaves the transaction. A read-only statement, please.
        """
        self.settle()
        self.ensure_connection()
        statement = sql, params, True
        with self.wrap_database_errors:
            self._statements.send(*self._untold(), premise=Premise(statement, rows, otherwise))
        self._told, self._assumed, self._is_underway = context.current(), statement, True

    def go_ahead(self) -> None:
        """The server looks at what is taken for granted, and hears of this moment's context, while the process works on."""
        if self._assumed is not None:
            with self.wrap_database_errors:
                self._statements.send(*self._untold(), now=True)
            self._told = context.current()

    def start(self, sql: str, params: Params) -> None:
        """Have the server run a statement that writes, while the process works on. What was wrong with it, the next statement or
        the end of the transaction says.

        Raises: TransactionManagementError outside a transaction.
        """
        self.validate_no_broken_transaction()
        if not self.in_atomic_block:
            raise TransactionManagementError("A statement can only be started in a transaction.")
        self._has_written = True
        with self.wrap_database_errors:
            self._statements.send(*self._untold(), (sql, params, True), now=True)
        self._told, self._is_underway = context.current(), True
        if self.queries_logged:
            self._note(sql)

    def settle(self) -> None:
        """Look at what is taken for granted, if no statement has done so yet.

        Raises: PremiseFailed.
        """
        if self._assumed is not None:
            self._run()

    @contextmanager
    def foreseeing(
        self, sql: str, params: Params, each: Reading | None = None
    ) -> Iterator[Callable[[], list[tuple[Any, ...]]]]:
        """In the block, the transaction is known to end with this statement (`as_texts`, `each`: see `fetch_prepared`) behind a
        write, and to fail there unless that was written. Calling what the block is given answers its rows.

        A write of the block that stands alone takes it along, and the end of the transaction, which comes true if neither
        fails. Without such a write the statement runs when it is called.
        """
        foreseen = self._foreseen = Foreseen((sql, params, True), each)

        def rows() -> list[tuple[Any, ...]]:
            self._foreseen = None
            if not foreseen.is_read:
                return self.fetch_prepared(sql, params, last=True, as_texts=True, each=each)
            if foreseen.failure is not None:
                with self.wrap_database_errors:
                    raise foreseen.failure
            return foreseen.rows

        try:
            yield rows
        finally:
            self._foreseen = None

    def _commit(self) -> None:
        if self.connection is not None:
            with self.wrap_database_errors:
                self._statements.finish()
            if self.connection.pgconn.transaction_status == TransactionStatus.IDLE:
                return
        super()._commit()  # type: ignore[misc]

    def _rollback(self) -> None:
        if self.connection is not None:
            with self.wrap_database_errors:
                self._statements.abandon()
        super()._rollback()  # type: ignore[misc]

    def _savepoint_rollback(self, sid: str) -> None:
        super()._savepoint_rollback(sid)  # type: ignore[misc]
        # Settings made since the savepoint went with it.
        self._told = None

    def fetch_prepared(
        self,
        sql: str,
        params: Params = None,
        *,
        prepare: bool = True,
        writes: bool = False,
        alone: bool = False,
        last: bool = False,
        as_texts: bool = False,
        each: Reading | None = None,
    ) -> list[tuple[Any, ...]]:
        """Rows of a statement that the server parses and plans once per connection (parameters stay on the server).

        `prepare=False` for one whose work the parameters do not show: it is planned each time. After the `last` one the
        transaction is committed, if it is a piece of work of its own; a statement that comes nevertheless is an error. If one
        of them `writes`, the process works on while the server commits, and waits where it leaves the transaction. A write
        that stands `alone`, since nothing else happens behind it, takes the statement along that is foreseen to read from it.
        `as_texts`: ids, times, decimals and JSON stay as the server writes them. `each`: what it makes of portions of the
        rows, in their place, while the server makes those behind them.
        """
        self.validate_no_broken_transaction()
        self.ensure_connection()
        started = time.monotonic()
        assumed = self._assumed
        self._has_written |= writes
        may_end = self.ends_with_work and not self.savepoint_ids
        foreseen = self._foreseen if alone else None
        then = foreseen if may_end else None
        commit = may_end and (last or then is not None)
        rows = self._run(
            *self._untold(),
            (sql, params, prepare),
            commit=commit,
            wait=not self._has_written,
            as_texts=as_texts,
            each=each,
            then=then,
        )
        self._ended = commit and (then is None or then.failure is None)
        if foreseen is not None:
            foreseen.is_next = True
        if self.queries_logged:
            if assumed is not None:
                self._note(assumed[0])
            self._note(sql, time.monotonic() - started)
            if then is not None:
                self._note(then.statement[0])
        return rows

    def _note(self, sql: str, seconds: float = 0) -> None:
        self.queries_log.append({"sql": sql, "time": f"{seconds:.3f}"})

    def is_usable(self) -> bool:
        # Django asks this once a request by a statement. A server that went away has closed the socket, or said why:
        # only then is there anything to read.
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.pgconn.socket, select.POLLIN)
        return not poll.poll(0) or super().is_usable()
