"""The id that ties together all that one request or task causes: logs, change log, jobs, answers."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from structlog import contextvars as log_context

HEADER = "X-Correlation-ID"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,128}")
_current: ContextVar[str] = ContextVar("correlation_id", default="")


def current_id() -> str:
    """The correlation id of the request or task that is running, or an empty string outside of both."""
    return _current.get()


@contextmanager
def correlation(offered: str | None = None) -> Iterator[str]:
    """Run the block under a correlation id: the `offered` one when well-formed, otherwise a new one.

    Log lines of the block carry the id; what the block binds to its log lines ends with it.
    """
    correlation_id = offered if offered and _WELL_FORMED.fullmatch(offered) else str(uuid.uuid4())
    token = _current.set(correlation_id)
    around = log_context.get_contextvars()
    log_context.clear_contextvars()
    log_context.bind_contextvars(correlation_id=correlation_id)
    try:
        yield correlation_id
    finally:
        log_context.clear_contextvars()
        log_context.bind_contextvars(**around)
        _current.reset(token)


def identify(*, user_id: object = None, company_id: object = None) -> None:
    """Name the person and the company in the log lines of the running request or task."""
    log_context.bind_contextvars(
        user_id=None if user_id is None else str(user_id),
        company_id=None if company_id is None else str(company_id),
    )
