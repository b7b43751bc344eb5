"""The Celery application; its settings are the `CELERY_…` ones of Django's settings."""

import os
from typing import Any

from celery import Celery, signals

from config import embedded
from core.observability import task_signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

app = Celery("atrium")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
task_signals.connect()


@signals.setup_logging.connect
def _keep_project_logging(**_: Any) -> None:
    """Having a receiver for this signal keeps Celery from replacing Django's logging configuration."""


@signals.celeryd_init.connect
@signals.beat_init.connect
def _ensure_servers(**_: Any) -> None:
    from core.tenancy.postgresql.base import start_serving

    embedded.ensure_for(os.environ["DJANGO_SETTINGS_MODULE"])
    start_serving()
