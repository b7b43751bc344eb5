"""The base of every Celery task: its name is spelled out, it says whose work it does, and that is bound before it starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

import celery

from core.jobs.registry import Tenancy
from core.tenancy.actors import system_actor
from core.tenancy.context import company_context, system_context


class Task(celery.Task):
    """`company` tasks take `company_id` as their first argument and run inside that company; `platform` ones in none.

    The correlation id comes along by `core.observability.task_signals`.
    """

    abstract = True
    tenancy: ClassVar[Tenancy]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.tenancy == "platform":
            with system_context(self.name):
                return super().__call__(*args, **kwargs)
        company_id = UUID(str(kwargs["company_id"] if "company_id" in kwargs else args[0]))
        with company_context(company_id, actor=system_actor(company_id), source="task"):
            return super().__call__(*args, **kwargs)


def task(name: str, *, tenancy: Tenancy, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Declare a Celery task. For work that must not be lost use `job_handler`: a task is only a message."""
    return celery.shared_task(name=name, base=Task, tenancy=tenancy, **options)
