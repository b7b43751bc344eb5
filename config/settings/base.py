"""What holds everywhere. Importing settings computes values and changes nothing."""

from typing import Any

from django.templatetags.static import static
from kombu import Queue

from config.env import Environment, process_kind
from config.home import PROJECT_DIR

env = Environment()

BASE_DIR = PROJECT_DIR
DEBUG = False

# Which of the two company locks hold; both, except where a test proves that either alone is enough.
TENANCY_LOCKS = frozenset({"scope", "rls"})

INSTALLED_APPS = [
    "config",
    "core",
    "audit",
    "api_versioning",
    "territories",
    "workflow",
    "data_import",
    "crm",
    "integrations",
    "analytics",
    "marketplace",
    # The theme without its own admin site; ours follows.
    "unfold.apps.BasicAppConfig",
    "core.backoffice.apps.BackOfficeConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "core.observability.middleware.CorrelationIdMiddleware",
    "core.rest.paths.ApiPathMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "core.backoffice.cookies.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "core.backoffice.cookies.CsrfViewMiddleware",
    "core.backoffice.cookies.AuthenticationMiddleware",
    "core.backoffice.middleware.BackOfficeCompanyMiddleware",
    "core.backoffice.cookies.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Databases and caches -------------------------------------------------------------------------------

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


# How many seconds a statement runs, waits for a lock, and a transaction stays open without a statement; 0: without limit.
# A migration sets its own (core.management.commands.migrate), `core.kernel.transactions.limits` those of one piece of work.
_TIMEOUTS = {
    # An upload is read inside its transaction, which is idle meanwhile.
    "request": {"statement_timeout": 30, "lock_timeout": 2, "idle_in_transaction_session_timeout": 600},
    "job": {"statement_timeout": 900, "lock_timeout": 30, "idle_in_transaction_session_timeout": 600},
    "command": {"statement_timeout": 0, "lock_timeout": 30, "idle_in_transaction_session_timeout": 3600},
}
DATABASE_TIMEOUTS = {
    kind: {
        name: env.integer(
            f"{kind}_{name.removesuffix('_timeout').removesuffix('_session')}_seconds".upper(), seconds
        )
        for name, seconds in limits.items()
    }
    for kind, limits in _TIMEOUTS.items()
}
# They are sent as the connection starts, which costs nothing. A pooler refuses what it does not know: behind one, say false
# here and give the login its limits by ALTER ROLE … SET.
DATABASE_STARTUP_TIMEOUTS = env.boolean("DATABASE_STARTUP_TIMEOUTS", True)


# Whether this process answers requests or works on jobs; such a one refuses a login that could pass by row-level security.
IS_SERVING = process_kind() != "command"


def startup_options(kind: str) -> str:
    """The limits of a kind of process, as PostgreSQL takes them when a connection starts."""
    limits = DATABASE_TIMEOUTS[kind]
    return " ".join(f"-c {name}={1000 * seconds}" for name, seconds in limits.items())


def database(parameters: dict[str, Any]) -> dict[str, Any]:
    """Django's DATABASES entry for these connection parameters; connections stay open and are checked."""
    if DATABASE_STARTUP_TIMEOUTS and parameters:
        options = parameters["OPTIONS"]
        # What DATABASE_URL says comes after, and wins.
        options_text = f"{startup_options(process_kind())} {options.get('options', '')}".strip()
        parameters = {**parameters, "OPTIONS": {**options, "options": options_text}}
    return {
        "ENGINE": "core.tenancy.postgresql",
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
        **parameters,
    }


def caches(redis_url: str) -> dict[str, Any]:
    """Django's CACHES on the given Redis."""
    return {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url}}


# Whether reads of the search-heavy tables rest on row-level security too (`strict`, needs operators that
# may be marked LEAKPROOF) or on the scoped managers alone (`narrow`, for managed PostgreSQL services).
READ_POLICY = env.choice("READ_POLICY", "strict", ("strict", "narrow"))

# Whether connections keep statements prepared between transactions. Turn off behind a pooler in transaction mode that does not
# follow prepared statements (PgBouncer before 1.21, or with `max_prepared_statements = 0`).
PREPARED_STATEMENTS = env.boolean("PREPARED_STATEMENTS", True)

# Files ----------------------------------------------------------------------------------------------


def _file_storage() -> dict[str, Any]:
    """Where stored files lie: on a disk below MEDIA_ROOT, or in a bucket that speaks S3 (needs the extra `s3`)."""
    if env.choice("FILE_STORAGE", "local", ("local", "s3")) == "local":
        return {"BACKEND": "core.files.local.PrivateFileSystemStorage"}
    options: dict[str, Any] = {
        "bucket_name": env.text("S3_BUCKET"),
        "endpoint_url": env.text("S3_ENDPOINT", "") or None,
        "region_name": env.text("S3_REGION", "") or None,
        "access_key": env.text("S3_ACCESS_KEY", "") or None,
        "secret_key": env.text("S3_SECRET_KEY", "") or None,
        "default_acl": None,
        "file_overwrite": False,
        "querystring_auth": True,
        # What is read is held on disk beyond this.
        "max_memory_size": 8 * 1024 * 1024,
    }
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}


STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "files": _file_storage(),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Uploads that are being received; nobody else reads them.
FILE_UPLOAD_PERMISSIONS = 0o600

# Workflows: whether they start at all, how many seconds a run may work (waits do not count), how many actions one may have.
WORKFLOW_ENGINE_ENABLED = env.boolean("WORKFLOW_ENGINE_ENABLED", True)
WORKFLOW_MAX_EXECUTION_TIME = env.integer("WORKFLOW_MAX_EXECUTION_TIME", 300, minimum=1)
WORKFLOW_MAX_ACTIONS = env.integer("WORKFLOW_MAX_ACTIONS", 50, minimum=1)

# Imports: what one company may have under way. Each limit is named in the refusal.
IMPORT_MAX_ROWS = env.integer("IMPORT_MAX_ROWS", 1_000_000, minimum=1)
IMPORT_MAX_STAGED_MB = env.integer("IMPORT_MAX_STAGED_MB", 4_096, minimum=1)
IMPORT_MAX_OPEN_JOBS = env.integer("IMPORT_MAX_OPEN_JOBS", 100, minimum=1)
# How long the file and the staged rows of an import are kept.
IMPORT_RETENTION_DAYS = env.integer("IMPORT_RETENTION_DAYS", 30, minimum=1)

# A file outside the database to which a line is added for each seal of the change log; best on a disk that can only be
# appended to. Empty: checkpoints are in the logs alone.
AUDIT_CHECKPOINT_FILE = env.text("AUDIT_CHECKPOINT_FILE", "")
# How long the files of exports of the change log and of compliance reports are kept, and how large an export may be.
AUDIT_EXPORT_RETENTION_DAYS = env.integer("AUDIT_EXPORT_RETENTION_DAYS", 30, minimum=1)
AUDIT_EXPORT_MAX_MB = env.integer("AUDIT_EXPORT_MAX_MB", 4_096, minimum=1)
COMPLIANCE_REPORT_RETENTION_DAYS = env.integer("COMPLIANCE_REPORT_RETENTION_DAYS", 365, minimum=1)
# How long the files that reports are written to are kept.
REPORT_FILE_RETENTION_DAYS = env.integer("REPORT_FILE_RETENTION_DAYS", 30, minimum=1)

# Time and language ----------------------------------------------------------------------------------

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"

# Accounts -------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "core.User"
LOGIN_URL = "admin:login"
# Where a sign-in leads that names no page, or one that is not ours.
LOGIN_REDIRECT_URL = "admin:index"
PASSWORD_HASHERS = ["core.identity.hashers.Argon2idHasher"]
AUTHENTICATION_BACKENDS = ["core.backoffice.middleware.BackOfficeBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# HTTP -----------------------------------------------------------------------------------------------

# Proxies whose word about the client's address is believed, and the one header they say it in. They must overwrite or add to
# it; nobody else's counts. Off without the first.
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES")
TRUSTED_PROXY_HEADER = env.choice("TRUSTED_PROXY_HEADER", "X-Forwarded-For", ("X-Forwarded-For", "Forwarded"))

X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_ENGINE = "core.backoffice.sessions"
SESSION_COOKIE_HTTPONLY = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024

# Requests that each web process works on at once, and what it waits for until one is complete (`config.front`).
WEB_THREADS = env.integer("WEB_THREADS", 8, minimum=1)
BODY_LIMITS = {
    "quiet_seconds": env.integer("BODY_QUIET_SECONDS", 20, minimum=1),
    "bytes_per_second": env.integer("BODY_BYTES_PER_SECOND", 16 * 1024, minimum=1),
    "disk_bytes": env.integer("BODY_DISK_MIB", 8 * 1024, minimum=1) * 1024 * 1024,
}

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_SCHEMA_CLASS": "core.rest.schema.EntityAutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    # `Accept` says what is wanted, and nothing else does.
    "URL_FORMAT_OVERRIDE": None,
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Atrium CRM",
    "DESCRIPTION": (
        "REST API of Atrium CRM. Sign in at `POST /api/v1/auth/login/` and send the access token as "
        "`Authorization: Bearer <token>`, or a key for machines as `Authorization: Api-Key <key>`. "
        "What is refused says why: a problem document (RFC 9457) with a stable `code` and the path of each fault."
    ),
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": r"/api/v[0-9]+",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "PREPROCESSING_HOOKS": ["core.rest.schema.only_api"],
    # Enumerations stay where they are said.
    "POSTPROCESSING_HOOKS": ["core.rest.schema.with_tags"],
    "SERVERS": [{"url": "/", "description": "The server that this document comes from."}],
}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Atrium CRM",
    "SITE_HEADER": "Atrium CRM",
    "SITE_SYMBOL": "apartment",
    "SITE_URL": None,
    "BORDER_RADIUS": "6px",
    "STYLES": [lambda request: static("backoffice/backoffice.css")],
    "SCRIPTS": [lambda request: static("backoffice/backoffice.js")],
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("backoffice/favicon.svg"),
        }
    ],
    "COLORS": {
        "primary": {
            "50": "#eef6f8",
            "100": "#d5e9ef",
            "200": "#afd5e0",
            "300": "#7cb8ca",
            "400": "#4595ad",
            "500": "#2a7a93",
            "600": "#1f647c",
            "700": "#1c5166",
            "800": "#1c4555",
            "900": "#1b3a48",
            "950": "#0d2430",
        },
    },
}

# Mail -----------------------------------------------------------------------------------------------
# Without EMAIL_HOST there is no server: mails stay in the outbox, where the back office shows them.

EMAIL_HOST = env.text("EMAIL_HOST", "")
EMAIL_PORT = env.integer("EMAIL_PORT", 25, minimum=1)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD", "")
# STARTTLS (mostly port 587), or TLS from the first byte (mostly port 465).
EMAIL_USE_TLS = env.boolean("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = env.boolean("EMAIL_USE_SSL", False)
# Seconds for each step of SMTP; all of them together must stay below the lease of an attempt.
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "Atrium CRM <crm@localhost>")
# Where servers report what could not be delivered; the sender's own address unless it is set.
EMAIL_BOUNCE_ADDRESS = env.text("EMAIL_BOUNCE_ADDRESS", "")
KEEP_EMAILS_DAYS = env.integer("KEEP_EMAILS_DAYS", 90, minimum=1)
KEEP_NOTIFICATIONS_DAYS = env.integer("KEEP_NOTIFICATIONS_DAYS", 180, minimum=1)
# Seconds that a link to reset a password works.
PASSWORD_RESET_TIMEOUT = 3_600

# Logs -----------------------------------------------------------------------------------------------

LOGGING_CONFIG = "core.observability.logs.configure"


def logging_options(default_format: str, default_level: str = "INFO") -> dict[str, str]:
    """LOGGING as `core.observability.logs` understands it, from LOG_FORMAT and LOG_LEVEL."""
    return {
        "format": env.choice("LOG_FORMAT", default_format, ("console", "json")),
        "level": env.choice("LOG_LEVEL", default_level, ("DEBUG", "INFO", "WARNING", "ERROR")),
    }


# Background work ------------------------------------------------------------------------------------
# PostgreSQL is the queue of record and Redis only the doorbell, so no result is kept and no task waits
# in Redis for long. A message is redelivered when its worker died (late acknowledgement), at the latest
# after the visibility timeout, which therefore must stay well above the hard time limit.

CELERY_TIMEZONE = "UTC"
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 1_500
CELERY_TASK_SOFT_TIME_LIMIT = 1_440
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30
CELERY_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE = True
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 2 * CELERY_TASK_TIME_LIMIT,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    # A heap of jobs delays neither the clock, which is read first, nor the change stream, which takes turns with it.
    "queue_order_strategy": "core.jobs.queues:ClockFirst",
}
CELERY_TASK_DEFAULT_QUEUE = "jobs"
CELERY_TASK_QUEUES = [Queue(name) for name in ("jobs", "stream", "clock")]
CELERY_TASK_ROUTES = {
    "core.run_consumers": {"queue": "stream"},
    "core.tick": {"queue": "clock"},
    "core.sweep_jobs": {"queue": "clock"},
    "core.worker_heartbeat": {"queue": "clock"},
}
# The whole schedule is static and kept in memory: each entry rings for rows that are due in the database,
# so beat has nothing to remember, and no file of it can be damaged by a sudden end.
CELERY_BEAT_SCHEDULER = "core.jobs.beat.LivingScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
CELERY_BEAT_SCHEDULE: dict[str, Any] = {
    "tick": {"task": "core.tick", "schedule": 5, "options": {"expires": 10}},
    "sweep": {"task": "core.sweep_jobs", "schedule": 5, "options": {"expires": 10}},
    "stream": {"task": "core.run_consumers", "schedule": 2, "options": {"expires": 10}},
    "canary": {"task": "core.worker_heartbeat", "schedule": 10, "options": {"expires": 30}},
}
