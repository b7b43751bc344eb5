"""The WSGI entry: the REST API and the back office."""

import os

from django.core.wsgi import get_wsgi_application

from config import embedded
from core.tenancy.postgresql.base import start_serving

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
os.environ["CRM_PROCESS"] = "request"
embedded.ensure_for(os.environ["DJANGO_SETTINGS_MODULE"])
application = get_wsgi_application()
start_serving()
