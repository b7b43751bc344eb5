"""The id that ties together all that one request or task causes: logs, change log, jobs, answers."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "X-Correlation-ID"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,128}")
_current: ContextVar[str] = ContextVar("correlation_id", default="")


def current_id() -> str:
    """The correlation id of the request or task that is running, or an empty string outside of both."""
    return _current.get()


def accept_or_new(offered: str | None) -> str:
    """`offered` when it is well-formed, otherwise a new id."""
    return offered if offered and _WELL_FORMED.fullmatch(offered) else str(uuid.uuid4())


@contextmanager
def correlation(offered: str | None = None) -> Iterator[str]:
    """Run the block under a correlation id: the `offered` one when well-formed, otherwise a new one."""
    token = _current.set(accept_or_new(offered))
    try:
        yield _current.get()
    finally:
        _current.reset(token)
