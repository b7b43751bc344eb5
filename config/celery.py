"""The Celery application; its settings are the `CELERY_…` ones of Django's settings."""

import os
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

app = Celery("atrium")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.setup_logging.connect
def _keep_project_logging(**_: Any) -> None:
    """A receiver of this signal stops Celery from replacing Django's logging configuration."""
