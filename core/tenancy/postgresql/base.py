"""The database backend: PostgreSQL, plus the tenancy context.

With the first statement of a transaction, and whenever the context has changed since, one statement sets the company, the
facts for the change log and the database role. All are local to the transaction, so a pooler in transaction mode is
safe. Statements outside a transaction run as the application role without a company: row-level security shows nothing.
The policies themselves are in `core.tenancy.guard`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.backends.postgresql import operations
from psycopg.errors import InvalidParameterValue
from psycopg.pq import TransactionStatus

from core.database import wrapper
from core.database.prepared import Statement
from core.tenancy import context

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


class DatabaseWrapper(wrapper.DatabaseWrapper):
    ops_class = DatabaseOperations

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The context that the open transaction has; None before its first statement.
        self._bound_context: context.Context | None = None

    @property
    def _restricted(self) -> bool:
        return not _as_owner.get() and "rls" in settings.TENANCY_LOCKS

    def init_connection_state(self) -> None:
        super().init_connection_state()
        if self._restricted and self.settings_dict["NAME"] not in (None, "postgres"):
            try:
                with self.connection.cursor() as cursor:
                    cursor.execute(f"SET ROLE {APP_ROLE}")
            except InvalidParameterValue as missing:
                raise OperationalError("The database was never migrated; run manage.py migrate.") from missing
            if not self.get_autocommit():
                self.connection.commit()

    def set_autocommit(
        self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False
    ) -> None:
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
        self._bound_context = None

    def _savepoint_rollback(self, sid: str) -> None:
        super()._savepoint_rollback(sid)  # type: ignore[misc]
        # Settings made since the savepoint went with it.
        self._bound_context = None

    def _cursor(self, name: str | None = None) -> Any:
        self.ensure_connection()
        if pending := self.pending_statements():
            self.run_statements(*pending)
        return super()._cursor(name)  # type: ignore[misc]

    def pending_statements(self) -> list[Statement]:
        """Binds the current context to the open transaction, unless it is bound."""
        now = context.current()
        if self._bound_context is now or self.autocommit:
            return []
        if self.connection.pgconn.transaction_status == TransactionStatus.INERROR:
            # The coming rollback takes the settings back with it.
            return []
        role = "none"
        if self._restricted:
            role = PLATFORM_ROLE if now.system else APP_ROLE
        return [Statement(_BIND, (str(now.company_id or ""), now.for_database(), role))]

    def run_statements(self, *statements: Statement, as_texts: bool = False) -> list[tuple[Any, ...]]:
        rows = super().run_statements(*statements, as_texts=as_texts)
        self._bound_context = context.current()
        return rows
