"""The WSGI entry: the REST API and the back office."""

import os

from django.conf import settings
from django.core.cache import close_caches
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import reset_queries

from config import embedded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
embedded.ensure_for(os.environ["DJANGO_SETTINGS_MODULE"])

application = get_wsgi_application()

# What Django does around each request for what is not here: caches with connections of their own, URLs for one request alone,
# and, but for debugging, lists of the statements that ran.
request_finished.disconnect(close_caches)
request_finished.disconnect(reset_urlconf)
if not settings.DEBUG:
    request_started.disconnect(reset_queries)
