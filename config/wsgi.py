"""The WSGI entry: the REST API and the back office."""

import os
import threading

from django.conf import settings
from django.core.cache import close_caches
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import connections, reset_queries

from config import embedded


def _keep_connections_by_thread() -> None:
    """Connections are looked up twenty times for each request, by Django, too. Its storage asks each time whether an event loop
    runs in the thread; none does here, so it is that of the thread."""
    storage = threading.local()
    for known in connections.all(initialized_only=True):
        setattr(storage, known.alias, known)
    connections._connections = storage  # type: ignore[attr-defined]


def _leave_out_what_is_not_here() -> None:
    """What Django does around each request for caches with connections of their own, for URLs of one request alone, and for
    lists of the statements that ran, which only debugging keeps."""
    request_finished.disconnect(close_caches)
    request_finished.disconnect(reset_urlconf)
    if not settings.DEBUG:
        request_started.disconnect(reset_queries)


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
os.environ["CRM_PROCESS"] = "request"
embedded.ensure_for(os.environ["DJANGO_SETTINGS_MODULE"])
_keep_connections_by_thread()
application = get_wsgi_application()
_leave_out_what_is_not_here()
