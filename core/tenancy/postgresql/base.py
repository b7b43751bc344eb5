"""Django's PostgreSQL backend, plus the tenancy context.

Before the first statement of a transaction, and whenever the context has changed since, one statement sets the company,
the facts for the change log and the database role. All are local to the transaction, so a pooler in transaction mode is
safe. Statements outside a transaction run as the application role without a company: row-level security shows nothing.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.db import OperationalError, connections
from django.db.backends.postgresql import base, operations
from psycopg.errors import InvalidParameterValue
from psycopg.pq import TransactionStatus

from core.tenancy import context
from core.tenancy.postgresql.prepared import Params, PreparedStatements, Statement

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

    def set_autocommit(
        self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False
    ) -> None:
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
        self._told = None

    def _cursor(self, name: str | None = None) -> Any:
        self.ensure_connection()
        self._tell_context()
        return super()._cursor(name)  # type: ignore[misc]

    def _tell_context(self) -> None:
        """Tell the open transaction the context of this moment, unless it knows."""
        untold = self._untold()
        if untold:
            with self.wrap_database_errors:
                self._statements.fetch(*untold)
            self._told = context.current()

    def _untold(self) -> list[Statement]:
        """What the transaction must be told before its next statement."""
        now = context.current()
        if self._told is now or self.get_autocommit():
            return []
        if self.connection.info.transaction_status == TransactionStatus.INERROR:
            # The coming rollback takes the settings back with it.
            return []
        role = "none"
        if self._restricted:
            role = PLATFORM_ROLE if now.system else APP_ROLE
        return [(_BIND, (str(now.company_id or ""), now.for_database(), role), True)]

    def _savepoint_rollback(self, sid: str) -> None:
        super()._savepoint_rollback(sid)  # type: ignore[misc]
        # Settings made since the savepoint went with it.
        self._told = None

    def fetch_prepared(
        self, sql: str, params: Params = None, *, prepare: bool = True, before: Sequence[Statement] = ()
    ) -> list[tuple[Any, ...]]:
        """Rows of a statement that the server parses and plans once per connection (parameters stay on the server).

        `prepare=False` for one whose work the parameters do not show: it is planned each time. The statements `before` run
        first, in the same round trip; each sees what those before it wrote.
        """
        self.validate_no_broken_transaction()
        self.ensure_connection()
        started = time.monotonic()
        with self.wrap_database_errors:
            rows = self._statements.fetch(*self._untold(), *before, (sql, params, prepare))
        self._told = context.current()
        if self.queries_logged:
            self.queries_log.extend({"sql": earlier, "time": "0.000"} for earlier, _, _ in before)
            self.queries_log.append({"sql": sql, "time": f"{time.monotonic() - started:.3f}"})
        return rows

    def is_usable(self) -> bool:
        # Django asks this once a request by a statement. A server that went away has closed the socket, or said why:
        # only then is there anything to read.
        if self.connection is None or self.connection.closed:
            return False
        reading, _, _ = select.select([self.connection.fileno()], [], [], 0)
        return not reading or super().is_usable()
