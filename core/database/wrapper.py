"""Django's PostgreSQL backend with `fetch_prepared`."""

from __future__ import annotations

import select
import time
from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base

from core.database.prepared import Params, PreparedStatements, Statement


class DatabaseWrapper(base.DatabaseWrapper):
    def init_connection_state(self) -> None:
        super().init_connection_state()
        self._prepared = PreparedStatements(self.connection, keep=settings.PREPARED_STATEMENTS)

    def fetch_prepared(
        self, sql: str, params: Params = None, *, prepare: bool = True, as_texts: bool = False
    ) -> list[tuple[Any, ...]]:
        """Rows of a statement that the server parses and plans once per connection (parameters stay on the server).

        `prepare=False` for one whose work the parameters do not show: it is planned each time. `as_texts`: ids, times,
        decimals and JSON stay as the server writes them. Raises: django.db.DatabaseError as a cursor does.
        """
        self.validate_no_broken_transaction()
        self.ensure_connection()
        started = time.monotonic()
        rows = self.run_statements(
            *self.pending_statements(), Statement(sql, params, prepare), as_texts=as_texts
        )
        if self.queries_logged:
            self.queries_log.append({"sql": sql, "time": f"{time.monotonic() - started:.3f}"})
        return rows

    def pending_statements(self) -> list[Statement]:
        """What the transaction must be told before its next statement, and in the same round trip."""
        return []

    def run_statements(self, *statements: Statement, as_texts: bool = False) -> list[tuple[Any, ...]]:
        """Rows of the last of the statements, all of them in one round trip."""
        with self.wrap_database_errors:
            return self._prepared.fetch(*statements, as_texts=as_texts)

    def is_usable(self) -> bool:
        # Django asks this once a request by a statement. A server that went away has closed the socket, or said why:
        # only then is there anything to read.
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.pgconn.socket, select.POLLIN)
        return not poll.poll(0) or super().is_usable()
