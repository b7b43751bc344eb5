"""Tests: their own embedded cluster that need not survive a power cut, and quick password hashing."""

import os

from config.settings.local import *  # noqa: F403 - see local.py
from config.settings.local import INSTALLED_APPS, REDIS_URL, caches, celery_url

# One user of each seam that capabilities plug into; the conformance suites cover it unasked.
INSTALLED_APPS = [*INSTALLED_APPS, "tests.seams"]

# Where parallel test processes were given servers, they share neither the database (Django numbers it) nor Redis.
_process_number = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw") or "0"
REDIS_URL = f"{REDIS_URL.partition('?')[0]}?db={int(_process_number) % 16}"
CACHES = caches(REDIS_URL)
CELERY_BROKER_URL = celery_url(REDIS_URL)
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True

# Known secrets, so that the processes which a test starts accept each other's tokens.
SECRET_KEY = "only-for-tests-" * 4
JWT_KEYS = {"test": "only-for-tests-" * 4}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_HOST = ""
PUBLIC_URL = "https://crm.example.test"
ALLOWED_HOSTS = ["testserver", "localhost"]
LOGGING = {"format": "console", "level": "WARNING"}
