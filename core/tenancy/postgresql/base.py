"""The database backend: PostgreSQL, plus the tenancy context.

With the first statement of a transaction, and whenever the context has changed since, one statement sets the company, the
facts for the change log and the database role. All are local to the transaction, so a pooler in transaction mode is
safe. Statements outside a transaction run as the application role without a company: row-level security shows nothing.
The policies themselves are in `core.tenancy.guard`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.backends.postgresql import operations
from psycopg.errors import InsufficientPrivilege, InvalidParameterValue
from psycopg.pq import TransactionStatus

from core.database import wrapper
from core.database.prepared import Statement
from core.tenancy import context
from core.tenancy.postgresql.login import faults_of_login

APP_ROLE = "crm_app"
PLATFORM_ROLE = "crm_platform"

_BIND = (
    "SELECT set_config('app.company_id', %s::text, true), set_config('app.context', %s::text, true), "
    "set_config('app.context_id', '', true), set_config('role', %s::text, true)"
)

_as_owner: ContextVar[bool] = ContextVar("database_owner", default=False)


@contextmanager
def database_owner() -> Iterator[None]:
    """Connections that start here are the owner's of the tables: migrations and test databases only. Needs the owner's login
    (`DATABASE_OWNER`), which processes that serve do not have."""
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


def start_serving() -> None:
    """Refuse to serve as a login that could pass by row-level security; a server that is away is asked with the first
    connection. Raises: ImproperlyConfigured.
    """
    with suppress(OperationalError):
        database().ensure_connection()
    database().close()


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
    # The login of this process has been looked at.
    _may_serve = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The context that the open transaction has; None before its first statement.
        self._bound_context: context.Context | None = None

    @property
    def _is_owners(self) -> bool:
        # Django makes and removes databases of tests beside one of these.
        return _as_owner.get() or self.settings_dict["NAME"] in (None, "postgres")

    @property
    def _role(self) -> str:
        if self._is_owners:
            return "none"
        is_across = context.current().system or "rls" not in settings.TENANCY_LOCKS
        return PLATFORM_ROLE if is_across else APP_ROLE

    def get_connection_params(self) -> dict[str, Any]:
        params = super().get_connection_params()
        if self._is_owners and settings.DATABASE_OWNER:
            names = {"USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
            params |= {
                names[name]: value
                for name, value in settings.DATABASE_OWNER.items()
                if name in names and value
            }
        return params

    def init_connection_state(self) -> None:
        super().init_connection_state()
        if self._is_owners:
            return
        with self.connection.cursor() as cursor:
            if settings.IS_SERVING and not DatabaseWrapper._may_serve:
                if fault := faults_of_login(cursor):
                    raise ImproperlyConfigured(f"{fault[0].upper()}{fault[1:]}.")
                DatabaseWrapper._may_serve = True
            try:
                cursor.execute(f"SET ROLE {APP_ROLE if 'rls' in settings.TENANCY_LOCKS else PLATFORM_ROLE}")
            except (InvalidParameterValue, InsufficientPrivilege) as missing:
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
        return [Statement(_BIND, (str(now.company_id or ""), now.for_database(), self._role))]

    def run_statements(self, *statements: Statement, as_texts: bool = False) -> list[tuple[Any, ...]]:
        rows = super().run_statements(*statements, as_texts=as_texts)
        self._bound_context = context.current()
        return rows
