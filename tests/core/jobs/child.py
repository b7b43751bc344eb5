"""Does one job in a process of its own, which a fault plan may kill."""

import sys
from uuid import UUID

import django

django.setup()

from core.jobs.running import run_job  # noqa: E402
from tests.core.jobs import kinds  # noqa: E402

kinds.install()
sys.exit(0 if run_job(UUID(sys.argv[1])) else 3)
