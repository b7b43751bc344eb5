"""Sends mails in a process of its own, which a fault plan may kill."""

import sys
from uuid import UUID

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.utils import timezone  # noqa: E402

from core.delivery.operations.sending import send_pending  # noqa: E402
from core.tenancy.context import system_context  # noqa: E402

settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", int(sys.argv[1])
with system_context("test"):
    send_pending([UUID(item) for item in sys.argv[2:]], clock=timezone.now)
