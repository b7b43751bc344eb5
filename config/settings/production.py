"""Production: everything comes from the environment, and what is missing is named at once."""

from pathlib import Path

from config.env import celery_url
from config.settings.base import *  # noqa: F403 - see local.py
from config.settings.base import BASE_DIR, STORAGES, caches, database, env, logging_options

SECRET_KEY = env.text("SECRET_KEY", minimum=50)
JWT_KEYS = env.keys("JWT_KEYS")
ALLOWED_HOSTS = env.items("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = [f"https://{host.lstrip('.')}" for host in ALLOWED_HOSTS if host != "*"]

EMBEDDED = False
DATABASES = {"default": database(env.database("DATABASE_URL"))}
# The owner of the tables, for `migrate` alone: processes that serve are not told.
DATABASE_OWNER = env.database("MIGRATE_DATABASE_URL", {})
REDIS_URL = env.redis("REDIS_URL")
CACHES = caches(REDIS_URL)
CELERY_BROKER_URL = celery_url(REDIS_URL)

# Behind a proxy that ends TLS. Plain HTTP (a trial in a closed network) is a decision to be written down.
_https = env.boolean("HTTPS", True)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = _https
SESSION_COOKIE_SECURE = _https
CSRF_COOKIE_SECURE = _https
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _https
# The health check is asked by the container itself, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^api/v[0-9]+/monitoring/health/$"]

MEDIA_ROOT = Path(env.text("MEDIA_ROOT", str(BASE_DIR / "media")))
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# Links in mails lead here; never to the name that a request happens to carry.
PUBLIC_URL = env.text(
    "PUBLIC_URL", f"{'https' if _https else 'http'}://{ALLOWED_HOSTS[0] if ALLOWED_HOSTS else ''}"
).rstrip("/")

LOGGING = logging_options("json")

env.check()
