"""For `celery --app`: the real application with the tests' kinds of jobs, sending real messages."""

import django

django.setup()

from config.celery import app  # noqa: E402
from tests.core.jobs import kinds  # noqa: E402

app.conf.task_always_eager = False
kinds.install()
