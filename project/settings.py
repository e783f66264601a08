"""All settings of Haulway: environment readers, each with a default that works on a developer's machine.

Any variable may be given as NAME_FILE instead, a path whose content is the value (Docker and Kubernetes secrets).
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import dj_email_url  # type: ignore[import-untyped]
from environs import validate

from project import logs, servers
from project.api import REST_FRAMEWORK, SPECTACULAR_SETTINGS  # noqa: F401 - read by the packages they belong to
from project.environment import Environment

env = Environment()
BASE_DIR = Path(__file__).resolve().parent.parent

# --- who may come in -------------------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
KEY_OF_LOOPBACK = "not-secret: fit for loopback only"
SECRET_KEY = env.str("SECRET_KEY", default=KEY_OF_LOOPBACK)
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", default=[])  # earlier keys, while they are replaced
_LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=_LOOPBACK)
_others = set(ALLOWED_HOSTS) - set(_LOOPBACK)
ON_LOOPBACK = not _others
# A bare name, such as `web`, is one of an inner network.
PUBLIC = any(set(host) & set(".:*") for host in _others)
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# `manage.py up` sets this for its loopback-only web server; anywhere else the API asks for a login or a token.
OPEN_ON_LOOPBACK = env.bool("OPEN_ON_LOOPBACK", default=False)
# In public all is HTTPS: plain requests are sent on to it, but for probes, which come from beside us.
HTTPS = env.bool("HTTPS", default=PUBLIC)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^(health|livez|readyz|metrics|api/v1/scaling)\b"]
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=365 * 24 * 3600) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = env.bool("HSTS_SUBDOMAINS", default=HTTPS)
AUTHENTICATION_BACKENDS = ["jobs.access.passwords.SlowedDown"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
AUDIT_DAYS = env.float("AUDIT_DAYS", default=365.0)  # that the record of what people did is kept; 0: for ever
# Of one token or user, unless the token says otherwise; 0: no limit.
REQUESTS_PER_MINUTE = env.int("REQUESTS_PER_MINUTE", default=60_000)
MAX_BACKLOG = env.int("MAX_BACKLOG", default=1_000_000)  # unfinished jobs of one owner

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "dashboard:overview"

INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",  # project/staff.py loads the pages, where they are served
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_results",
    "project",
    "jobs",
    "jobs.access",
    "downloads",
    *env.list("EXTRA_APPS", default=[]),
]
MIDDLEWARE = [
    "jobs.probes.probes",
    "jobs.api.request_ids.request_ids",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"
WSGI_APPLICATION = "project.wsgi.application"
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
            ]
        },
    }
]
STATIC_URL = "static/"
STATIC_ROOT = env.str("STATIC_ROOT", default="") or None  # where an image collects them; without one, found in place
WHITENOISE_USE_FINDERS = STATIC_ROOT is None
USE_TZ = True
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
LANGUAGE_CODE = "en-gb"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Postgres --------------------------------------------------------------------------------------------------------
POSTGRES_URL = env.str("POSTGRES_URL", default="") or env.str(
    "DATABASE_URL", default="postgres://haulway:haulway@127.0.0.1:5432/haulway"
)
DATABASE_TIMEOUT = env.float("DATABASE_TIMEOUT", default=30.0)  # seconds that one statement may take
DATABASE_POOL_SIZE = env.int("DATABASE_POOL_SIZE", default=10)  # connections that one process may hold
# Behind PgBouncer in transaction mode nothing may be set for a session; deploy/RUNBOOK.md says where it is set instead.
DATABASE_TRANSACTION_POOLING = env.bool("DATABASE_TRANSACTION_POOLING", default=False)
# Requests that one web process answers at once; more take turns at the interpreter and are slower for all.
WEB_THREADS = env.int("WEB_THREADS", default=DATABASE_POOL_SIZE, validate=validate.Range(min=1))
APPLICATION_NAME = env.str("APPLICATION_NAME", default="haulway")  # how connections and traces are named
DATABASES: dict[str, Any] = {}
try:
    DATABASES["default"] = servers.database(
        POSTGRES_URL,
        password=env.str("POSTGRES_PASSWORD", default=""),
        name=APPLICATION_NAME,
        timeout=DATABASE_TIMEOUT,
        pool_size=DATABASE_POOL_SIZE,
        session_settings=not DATABASE_TRANSACTION_POOLING,
    )
except ValueError as error:
    env.fault("POSTGRES_URL", str(error))

# --- Redis -----------------------------------------------------------------------------------------------------------
# One address, out of whichever form the environment has: REDIS_URL, REDIS_ADDR, or REDIS_HOST and friends.
_host = f"{env.str('REDIS_HOST', default='127.0.0.1')}:{env.int('REDIS_PORT', default=6379)}"
_address = f"redis://{env.str('REDIS_ADDR', default=_host)}/{env.int('REDIS_DB', default=0)}"
REDIS_URL = env.str("REDIS_URL", default="") or _address
try:
    REDIS_URL = servers.redis_url(REDIS_URL, env.str("REDIS_PASSWORD", default=""))
except ValueError as error:
    env.fault("REDIS_URL", str(error))
REDIS_TIMEOUT = env.float("REDIS_TIMEOUT", default=5.0)  # seconds for one command, on a connection that must not hang
REDIS_CA_FILE = env.str("REDIS_CA_FILE", default="")  # whose certificates are believed; empty: those of the system
# host:port of each sentinel; REDIS_URL then says login and database, and they say where the primary is.
REDIS_SENTINELS: list[str] = env.list("REDIS_SENTINELS", default=[])
REDIS_SENTINEL_MASTER = env.str("REDIS_SENTINEL_MASTER", default="mymaster")
REDIS_SENTINEL_PASSWORD = env.str("REDIS_SENTINEL_PASSWORD", default="")

# --- jobs ------------------------------------------------------------------------------------------------------------
LEASE_SECONDS = env.float("LEASE_SECONDS", default=15.0)  # a node unheard of for this long has lost its jobs
HEARTBEAT_SECONDS = env.float("HEARTBEAT_SECONDS", default=1.0)  # also the time in which a cancel reaches a handler
DISPATCHER_LEASE_SECONDS = env.float("DISPATCHER_LEASE_SECONDS", default=5.0)
CHUNK_SECONDS = env.float("CHUNK_SECONDS", default=0.2)  # of work that short jobs may travel together for
AGEING_SECONDS = env.float("AGEING_SECONDS", default=300.0)  # a job that waited so long overtakes higher queues
MAX_RETRIES = env.int("QUEUE_MAX_RETRIES", default=3)  # of a job that does not say
CRASH_BUDGET = env.int("CRASH_BUDGET", default=3)  # processes that a job may kill before it is a dead letter
TIMEOUT_GRACE_SECONDS = env.float("TIMEOUT_GRACE_SECONDS", default=2.0)  # from the timeout to the kill
CANCEL_GRACE_SECONDS = env.float("CANCEL_GRACE_SECONDS", default=30.0)  # from a cancel to the kill
MAX_MEMORY_MB = env.int("MAX_MEMORY_MB", default=0)  # that one pool process may use; 0: no limit of ours
DRAIN_SECONDS = env.float("DRAIN_SECONDS", default=25.0)  # from SIGTERM until what still runs is released
LOCK_TTL_SECONDS = env.float("JOB_MANAGER_LOCK_TTL", default=600_000) / 1000  # until a lock that nobody renews is free
RETENTION_DAYS = env.float("RETENTION_DAYS", default=30.0)  # finished jobs are deleted after so long; 0: never
MAX_PAYLOAD_BYTES = env.int("MAX_PAYLOAD_BYTES", default=256 * 1024)
QUEUE_BATCH_SIZE = env.int("QUEUE_BATCH_SIZE", default=200, validate=validate.Range(min=1))  # jobs in one message
# Between two looks of the dispatcher for work that nobody rang for; at a second it may still renew its lease.
_poll = env.float("JOB_MANAGER_POLL_INTERVAL", default=100) / 1000
POLL_SECONDS = min(env.seconds("QUEUE_POLL_INTERVAL", default=str(_poll)), 1.0)
# Between two looks for retries and scheduled jobs that have become due.
DUE_SECONDS = env.float("JOB_MANAGER_DELAYED_INTERVAL", default=100) / 1000
# Slots of a worker that is started without -c; 0: one for each processor core. And the most that any may have.
WORKER_POOL_SIZE = env.int("WORKER_POOL_SIZE", default=0)
WORKER_MAX_CONCURRENT_JOBS = env.int("WORKER_MAX_CONCURRENT_JOBS", default=0)
HTTP_TIMEOUT = env.seconds("WORKER_HTTP_TIMEOUT", default="90s")  # of an http_request that does not say
HTTP_RETRIES = env.int("WORKER_RETRY_COUNT", default=MAX_RETRIES)  # of an http_request that does not say
SEARCH_SECONDS = env.float("SEARCH_SECONDS", default=3.0)  # that the database may spend on one search
# Jobs that one page of a search reads through: up to 200 ms where each of them is in a disk page of its own.
SEARCH_STRETCH = env.int("SEARCH_STRETCH", default=10_000, validate=validate.Range(min=1))
WORKER_ID = env.str("WORKER_ID", default="")  # a name for this worker in the records; its host and pid by default
SCALING_TARGET_SECONDS = env.float("SCALING_TARGET_SECONDS", default=30.0)  # after which a job shall have begun
HEARTBEAT_FILE = env.str("HEARTBEAT_FILE", default="")  # that workers and dispatchers touch, for probes
# What runs here, to tell old workers from new ones while a fleet is replaced.
RELEASE = (
    env.str("RELEASE", default="") or tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["version"]
)
# Switches of the `echo` kind that hurt the worker on purpose (crash, hang). On under `manage.py up` and in tests.
ALLOW_DIAGNOSTICS = env.bool("ALLOW_DIAGNOSTICS", default=False)

# --- downloads and the way out to other people's servers -------------------------------------------------------------
DOWNLOAD_ROOT = Path(env.str("DOWNLOAD_ROOT", default=str(BASE_DIR / ".data" / "downloads")))
# Connections at once, over all workers, to one origin; and to those that are named, "host=2,other:8080=8".
DOWNLOAD_HOST_CONNECTIONS = env.int("DOWNLOAD_HOST_CONNECTIONS", default=16)
DOWNLOAD_HOST_LIMITS: dict[str, int] = env.dict("DOWNLOAD_HOST_LIMITS", default={}, subcast_values=int)
DOWNLOAD_RATE_LIMIT = env.int("DOWNLOAD_RATE_LIMIT", default=0)  # bytes per second of the fleet; 0: no limit
# When downloads run, in TIME_ZONE; empty: always.
DOWNLOAD_WINDOW = env.str(
    "DOWNLOAD_WINDOW",
    default="",
    validate=validate.Regexp(r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$", error="must be like 23:00-06:00"),
)
DOWNLOAD_PROXY = env.str("DOWNLOAD_PROXY", default="")  # all downloads go through it: http://user:password@host:port
MAX_DOWNLOAD_BYTES = env.int("MAX_DOWNLOAD_BYTES", default=0)  # of one file; 0: no limit
DOWNLOAD_QUOTA_BYTES = env.int("DOWNLOAD_QUOTA_BYTES", default=0)  # of all downloads of one owner; 0: no limit
DOWNLOAD_RESERVE_BYTES = env.int("DOWNLOAD_RESERVE_BYTES", default=64 * 1024 * 1024)  # of the disk, left to others
# Private networks that the operator allows.
OUTBOUND_ALLOWED_NETWORKS: list[str] = env.list("OUTBOUND_ALLOWED_NETWORKS", default=[])
OUTBOUND_DENIED_NETWORKS: list[str] = env.list("OUTBOUND_DENIED_NETWORKS", default=[])
OUTBOUND_PORTS = env.list("OUTBOUND_PORTS", default=[], subcast=int) or None  # None: any port

# --- scraping --------------------------------------------------------------------------------------------------------
SCRAPER_REQUEST_DELAY = env.float("SCRAPER_REQUEST_DELAY", default=1000) / 1000  # between two requests to one host
SCRAPER_CONCURRENT_JOBS = env.int("SCRAPER_CONCURRENT_JOBS", default=0)  # at once, over all workers; 0: no limit
SCRAPER_RETRIES = env.int("SCRAPER_RETRY_ATTEMPTS", default=MAX_RETRIES)  # of a scrape job
SCRAPER_USER_AGENT = env.str("SCRAPER_USER_AGENT", default="Haulway")  # also the name that robots.txt may call us by

# --- mail and webhooks -----------------------------------------------------------------------------------------------
# submission://user:password@host, smtp://host:25, file:///a/directory or console:; by default mail is kept in files.
EMAIL_URL = env.str("EMAIL_URL", default="") or f"file://{DOWNLOAD_ROOT.absolute().parent / 'mail'}"
_email = dj_email_url.parse(EMAIL_URL)
if "EMAIL_BACKEND" not in _email:
    env.fault("EMAIL_URL", "must begin with submission://, smtp://, file:/// or console:")
    _email = dj_email_url.parse("console:")
EMAIL_BACKEND = _email["EMAIL_BACKEND"]
EMAIL_FILE_PATH = "/" + _email["EMAIL_FILE_PATH"].lstrip("/")
EMAIL_HOST, EMAIL_PORT = _email["EMAIL_HOST"], _email["EMAIL_PORT"]
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _email["EMAIL_HOST_USER"], _email["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS, EMAIL_USE_SSL = _email["EMAIL_USE_TLS"], _email["EMAIL_USE_SSL"]
EMAIL_TIMEOUT = env.float("EMAIL_TIMEOUT", default=30.0)  # seconds for one exchange with the mail server
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="haulway@localhost")
# Each signs every webhook, so that receivers can be moved from one to the next: whsec_ and base64.
WEBHOOK_SECRETS: list[str] = env.list("WEBHOOK_SECRETS", default=[])

# --- logs and traces -------------------------------------------------------------------------------------------------
# GIN_MODE=debug is the older downloader's way to say LOG_LEVEL=debug.
LOG_LEVEL = env.str(
    "LOG_LEVEL",
    default="DEBUG" if env.str("GIN_MODE", default="release") == "debug" else "info",
    validate=validate.OneOf(
        ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "debug", "info", "warning", "error", "critical"]
    ),
).upper()
# json, console, or auto: for a person at a terminal, for machines elsewhere.
LOG_FORMAT = env.str("LOG_FORMAT", default="auto", validate=validate.OneOf(["auto", "json", "console"]))
LOGGING = logs.configuration(LOG_LEVEL, LOG_FORMAT)
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="")  # traces go there over HTTP

# --- HTTP API --------------------------------------------------------------------------------------------------------
PORT = env.int("PORT", default=8080)  # of the API under `manage.py up`
METRICS_OPEN = env.bool("METRICS_OPEN", default=False)  # /metrics without a login, for a scraper on a closed network
MAX_BODY_BYTES = env.int("MAX_BODY_BYTES", default=1024 * 1024)  # of one request
IDEMPOTENCY_HOURS = env.float("IDEMPOTENCY_HOURS", default=24.0)  # that an Idempotency-Key is kept
MAX_BULK_BODY_BYTES = env.int("MAX_BULK_BODY_BYTES", default=64 * 1024 * 1024)  # of one bulk submission
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BULK_BODY_BYTES  # beyond this Django does not even read

# --- Celery: read by project/celery.py with the prefix CELERY_ -------------------------------------------------------
CELERY_WORKER_CONCURRENCY = min(filter(None, (WORKER_POOL_SIZE, WORKER_MAX_CONCURRENT_JOBS)), default=None)
_broker = servers.broker(
    REDIS_URL,
    REDIS_CA_FILE,
    REDIS_SENTINELS,
    {"name": REDIS_SENTINEL_MASTER, "password": REDIS_SENTINEL_PASSWORD},
)
CELERY_BROKER_URL = _broker["url"]
CELERY_BROKER_USE_SSL = _broker["ssl"]
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "queue_order_strategy": "priority",  # kombu's default is round robin, which would ignore our order of queues
    "socket_timeout": REDIS_TIMEOUT,
    "socket_connect_timeout": REDIS_TIMEOUT,
    "socket_keepalive": True,
    "health_check_interval": 10,
    # Of those who send: the dispatcher comes back to it in its next round, and must not lose its lead over it.
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.2,
    **_broker["options"],
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for Redis for ever; the job rows are safe meanwhile
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
CELERY_BEAT_SCHEDULER = "jobs.dispatcher:Dispatcher"
CELERY_WORKER_DISABLE_PREFETCH = True  # a message is fetched when a slot is free, so no job waits behind a long one
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_PREFETCH_COUNT_REDUCTION = False  # after a lost broker every slot takes messages again at once
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_WORKER_AUTOSCALER = "jobs.autoscale:ByNeed"
CELERY_WORKER_LOST_WAIT = 1.0
CELERY_TASK_ACKS_LATE = False  # the row decides, the message only rings: redelivery has no meaning here
CELERY_TASK_DEFAULT_QUEUE = "medium"
CELERY_DB_REUSE_MAX = 10**12  # a pool child keeps its connection between messages; the driver checks its health

for _name, _seconds in (("LEASE_SECONDS", LEASE_SECONDS), ("HEARTBEAT_SECONDS", HEARTBEAT_SECONDS)):
    if _seconds <= 0:
        env.fault(_name, "must be more than 0")
if LEASE_SECONDS <= 2 * HEARTBEAT_SECONDS:
    env.fault(
        "LEASE_SECONDS", "must be more than twice HEARTBEAT_SECONDS: a worker would lose its jobs between two beats"
    )
env.stop_at_faults()
