"""For `celery --app` in a chaos run: the real application with the run's own kinds of work and a quicker clock."""

from __future__ import annotations

import django

django.setup()

from config.celery import app  # noqa: E402
from tests.chaos import seeded, work  # noqa: E402

work.install()
work.be_quick()
seeded.install()
app.conf.beat_schedule = {
    name: {**entry, "schedule": min(entry["schedule"], 1)} for name, entry in app.conf.beat_schedule.items()
} | {"slots": {"task": work.SLOTS_TASK, "schedule": 1, "options": {"expires": 10, "queue": "clock"}}}
app.conf.beat_max_loop_interval = 1
