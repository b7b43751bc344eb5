"""The id that ties together all that one request or task causes: logs, change log, jobs, answers."""

import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from core.kernel.ids import uuid7_text

HEADER = "X-Correlation-ID"
# Among the request's `META`, as for all headers of requests: `headers` would be a copy of all of them.
META_NAME = "HTTP_X_CORRELATION_ID"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,128}")
_bound_facts: ContextVar[Mapping[str, str | None]] = ContextVar("correlation", default=MappingProxyType({}))


def current_id() -> str:
    """The correlation id of the request or task that is running, or an empty string outside of both."""
    return _bound_facts.get().get("correlation_id") or ""


def bound_facts() -> Mapping[str, str | None]:
    """What each log line of the running request or task says: the correlation id, and who it is once that is known."""
    return _bound_facts.get()


@contextmanager
def correlation(offered: str | None = None) -> Iterator[str]:
    """Run the block under a correlation id: the `offered` one when well-formed, otherwise a new one, which sorts behind those
    before it and so comes to lie beside them in the log's index.

    Log lines of the block carry the id; what `identify` adds to them ends with it.
    """
    correlation_id = offered if offered and _WELL_FORMED.fullmatch(offered) else uuid7_text()
    token = _bound_facts.set({"correlation_id": correlation_id})
    try:
        yield correlation_id
    finally:
        _bound_facts.reset(token)


def identify(*, user_id: object = None, company_id: object = None) -> None:
    """Name the person and the company in the log lines of the running request or task, if one runs."""
    present = _bound_facts.get()
    if not present:
        return
    _bound_facts.set(
        {
            **present,
            "user_id": None if user_id is None else str(user_id),
            "company_id": None if company_id is None else str(company_id),
        }
    )


def add_correlation(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Processor of log lines."""
    return {**_bound_facts.get(), **event}
