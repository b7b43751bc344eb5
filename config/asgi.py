"""The ASGI entry: long-lived event streams."""

import os

from django.core.asgi import get_asgi_application

from config import embedded
from core.tenancy.postgresql.base import start_serving

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
os.environ["CRM_PROCESS"] = "request"
embedded.ensure_for(os.environ["DJANGO_SETTINGS_MODULE"])

application = get_asgi_application()
start_serving()
