"""Celery's in-memory scheduler, which also shows that it lives: if only workers wrote, nobody knew which of them died."""

from __future__ import annotations

import time
from typing import Any

import structlog
from celery.beat import Scheduler
from django.db import Error, connection
from django.utils import timezone

from core.jobs import operations
from core.jobs.health import BEAT
from core.tenancy.context import system_context

HEARTBEAT_SECONDS = 10
_log = structlog.get_logger("atrium.beat")


class LivingScheduler(Scheduler):
    """Writes its heartbeat beside its ticks; without a database it goes on ringing."""

    _shown_at = float("-inf")

    def tick(self, *args: Any, **kwargs: Any) -> float:
        wait: float = super().tick(*args, **kwargs)
        if time.monotonic() - self._shown_at >= HEARTBEAT_SECONDS:
            self._shown_at = time.monotonic()
            self._show()
        return min(wait, HEARTBEAT_SECONDS)

    def _show(self) -> None:
        connection.close_if_unusable_or_obsolete()
        try:
            with system_context("beat's heartbeat"):
                operations.beat(BEAT, now=timezone.now())
        except Error as error:
            _log.warning("beat cannot show itself", error=type(error).__name__)
