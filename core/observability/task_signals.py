"""Tasks run under the correlation id of whoever sent them, and write one line each."""

import time
from contextlib import ExitStack
from typing import Any

import structlog
from celery import signals

from core.observability.correlation import correlation, current_id

_HEADER = "crm_correlation_id"
_log = structlog.get_logger("atrium.task")
_running: dict[str, tuple[ExitStack, float]] = {}


def connect() -> None:
    """Take the correlation id along with every task from now on. Calling it again changes nothing."""
    signals.before_task_publish.connect(_send_along)
    signals.task_prerun.connect(_enter)
    signals.task_postrun.connect(_leave)


def _send_along(headers: dict[str, Any], **_: Any) -> None:
    headers[_HEADER] = current_id()


def _enter(task_id: str, task: Any, **_: Any) -> None:
    stack = ExitStack()
    stack.enter_context(correlation(task.request.get(_HEADER) or current_id()))
    _running[task_id] = (stack, time.perf_counter())


def _leave(task_id: str, task: Any, state: str | None = None, **_: Any) -> None:
    stack, started = _running.pop(task_id)
    latency_ms = round((time.perf_counter() - started) * 1000, 1)
    _log.info("task", task=task.name, task_id=task_id, state=state, latency_ms=latency_ms)
    stack.close()
