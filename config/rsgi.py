"""The entry that granian serves: the WSGI application behind a front that receives bodies."""

from config.wsgi import application as wsgi  # isort: skip - it sets Django up

from django.conf import settings

from config.front import BodyLimits, Front

application = Front(wsgi, threads=settings.WEB_THREADS, limits=BodyLimits(**settings.BODY_LIMITS))
