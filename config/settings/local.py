"""One machine, one command: embedded servers unless `DATABASE_URL` and `REDIS_URL` name others."""

import os

from config.embedded import LOGIN, OWNER
from config.env import celery_url, local_secrets
from config.home import Home, home_for
from config.settings.base import *  # noqa: F403 - the one idiom by which Django settings build on each other
from config.settings.base import caches, database, env, logging_options

HOME = Home(home_for(os.environ.get("DJANGO_SETTINGS_MODULE", __name__)))
_kept = local_secrets(HOME)

DEBUG = env.boolean("DEBUG", False)
SECRET_KEY = env.text("SECRET_KEY", _kept["SECRET_KEY"], minimum=50)
JWT_KEYS = env.keys("JWT_KEYS", dict([_kept["JWT_KEYS"].split(":", 1)]))
ALLOWED_HOSTS = env.items("ALLOWED_HOSTS", ["*"])

_embedded_database = {"NAME": "crm", "USER": LOGIN, "HOST": str(HOME.sockets), "OPTIONS": {}}
_database = env.database("DATABASE_URL", _embedded_database)
EMBEDDED = _database is _embedded_database
# The owner of the tables, for `migrate` alone.
DATABASE_OWNER = env.database("MIGRATE_DATABASE_URL", {"USER": OWNER} if EMBEDDED else {})
DATABASES = {"default": database(_database)}

REDIS_URL = env.redis("REDIS_URL", f"unix://{HOME.redis_socket}?db=0")
CACHES = caches(REDIS_URL)
CELERY_BROKER_URL = celery_url(REDIS_URL)

MEDIA_ROOT = HOME.media
# Links in mails lead here.
PUBLIC_URL = env.text("PUBLIC_URL", f"http://127.0.0.1:{os.environ.get('CRM_PORT') or 8000}").rstrip("/")

LOGGING = logging_options("console")
# Static files are served out of the packages: nothing has to be collected first.
WHITENOISE_USE_FINDERS = True

env.check()
