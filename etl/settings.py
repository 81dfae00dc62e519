"""Settings, each from an environment variable with a default that works.

`docs/operations.md` describes every variable; a test keeps that page complete.
"""

import os
import secrets
from pathlib import Path

import dj_database_url

BASE_DIR = Path(__file__).resolve().parent.parent


def _flag(name: str, default: bool) -> bool:
    return os.environ.get(name, "1" if default else "0").lower() in {"1", "true", "yes", "on"}


def _list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


def _secret_key(home: Path) -> str:
    """Return the installation's own key, made on first use and readable by its owner only."""
    if key := os.environ.get("SECRET_KEY"):
        return key
    path = home / "secret_key"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    return path.read_text()


# Where everything lives: the archive, what is derived from it, the database.
ROOTCELLAR_HOME = Path(os.environ.get("ROOTCELLAR_HOME", BASE_DIR / "var")).resolve()
ROOTCELLAR_HOME.mkdir(parents=True, exist_ok=True)
ARCHIVE_URL = os.environ.get("ARCHIVE_URL") or str(ROOTCELLAR_HOME / "archive")
RECORDS_DIR = ROOTCELLAR_HOME / "records"
WAREHOUSE_DIR = ROOTCELLAR_HOME / "warehouse"

SECRET_KEY = _secret_key(ROOTCELLAR_HOME)
DEBUG = _flag("DEBUG", False)
ALLOWED_HOSTS = _list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = _list("CSRF_TRUSTED_ORIGINS")

# Sources: every folder under sources/, and apps named in ROOTCELLAR_APPS (dotted paths).
SOURCE_APPS = [
    f"sources.{path.parent.name}" for path in sorted((BASE_DIR / "sources").glob("*/apps.py"))
] + _list("ROOTCELLAR_APPS")

# Who is answered without a token: loopback (this machine alone), everyone, nobody.
ANONYMOUS_READ = os.environ.get("ANONYMOUS_READ", "loopback")

# How long a GraphQL operation may take, in seconds, and how many rows its lists may hold when full.
GRAPHQL_TIME_LIMIT = float(os.environ.get("GRAPHQL_TIME_LIMIT", "10"))
GRAPHQL_MAX_COST = int(os.environ.get("GRAPHQL_MAX_COST", "1000000000"))
# A folder of trusted documents, *.graphql, and whether only those are answered.
GRAPHQL_DOCUMENTS = os.environ.get("GRAPHQL_DOCUMENTS", "")
GRAPHQL_PERSISTED_ONLY = _flag("GRAPHQL_PERSISTED_ONLY", False)
# How long an export may take, in seconds.
EXPORT_TIME_LIMIT = float(os.environ.get("EXPORT_TIME_LIMIT", "600"))
# Whether the schema may be asked about; holders of admin always may.
GRAPHQL_INTROSPECTION = _flag("GRAPHQL_INTROSPECTION", True)

# The scheduler runs inside the server (etl.asgi) unless switched off.
SCHEDULER = _flag("SCHEDULER", True)
# Seconds for which a scheduler that is told to stop lets its runs come to their end.
DRAIN_SECONDS = float(os.environ.get("DRAIN_SECONDS", "5"))
# Which share of the hosts this process extracts, as "1/4"; empty means all of them.
SHARD = os.environ.get("SHARD", "")
# Addresses beyond the public internet that every feed may ask: 10.0.0.0/8,intranet.example.
ALLOW_PRIVATE = _list("ALLOW_PRIVATE")
# Processes that parse; 0 means one per core, fewer where memory is short.
PARSE_WORKERS = int(os.environ.get("PARSE_WORKERS", "0"))
# Seconds of computing that a transform may take over one payload; 0 sets no limit.
TRANSFORM_TIME_LIMIT = float(os.environ.get("TRANSFORM_TIME_LIMIT", "60"))
# A dask.distributed scheduler whose workers parse instead, as tcp://host:port.
REPLAY_CLUSTER = os.environ.get("REPLAY_CLUSTER", "")
# What follows when a transform's code changed: auto, ask or never; "auto,quakes=ask" per source.
REPLAY_ON_CHANGE = os.environ.get("REPLAY_ON_CHANGE", "auto")
# How long record files of earlier code are kept after their last use.
RECORDS_GRACE = os.environ.get("RECORDS_GRACE", "7d")

# SQL over HTTP: processes that answer (0: none), the most a statement may take and give.
SQL_WORKERS = int(os.environ.get("SQL_WORKERS", "2"))
SQL_TIMEOUT = float(os.environ.get("SQL_TIMEOUT", "60"))
SQL_ROWS = int(os.environ.get("SQL_ROWS", "5000000"))
SQL_MEMORY_MB = int(os.environ.get("SQL_MEMORY_MB", "512"))

# Who is told when runs fail, recover or finish: channels separated by blanks (docs/notices.md).
NOTICES = os.environ.get("NOTICES", "")
# Where notices by e-mail are handed in.
EMAIL_HOST = os.environ.get("EMAIL_HOST", "localhost")
EMAIL_PORT = int(os.environ.get("EMAIL_PORT", "25"))
EMAIL_HOST_USER = os.environ.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = _flag("EMAIL_USE_TLS", False)
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = os.environ.get("EMAIL_FROM", "rootcellar@localhost")

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.staticfiles",
    "raw_store",
    "ingest",
    "reshape",
    "warehouse",
    "warehouse.rollup_tables",
    *SOURCE_APPS,
    "api",
    "etl",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "api.access.middleware.access",
]

ROOT_URLCONF = "etl.urls"
ASGI_APPLICATION = "etl.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
    }
]

DATABASES = {
    "default": dj_database_url.parse(
        os.environ.get("DATABASE_URL") or f"sqlite:///{ROOTCELLAR_HOME / 'db.sqlite3'}"
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # Readers go on while a load writes; a committed index row survives a power cut.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        "transaction_mode": "IMMEDIATE",
        "timeout": 60,
    }
else:
    # Every request's thread asks for a connection; opening one takes longer than most questions.
    # None is kept open that nobody uses, and the database's own limit is the one that is met.
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {"min_size": 0, "max_size": 100}
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# Whether PostgreSQL plans the API's statements once; not behind a pooler that cannot keep them.
PREPARE_STATEMENTS = _flag("PREPARE_STATEMENTS", True)

# How many vintages (the rows of a moment, for @asOf) are kept; 0 switches @asOf off.
AS_OF_VINTAGES = int(os.environ.get("AS_OF_VINTAGES", "8"))
# And of what size together, in bytes.
AS_OF_MAX_BYTES = int(os.environ.get("AS_OF_MAX_BYTES", str(2_000_000_000)))
# Reads of an operation of another time go to that time's vintage.
DATABASE_ROUTERS = ["api.routing.Router"]

# The rollups' tables follow their SQL files and are created by the load.
MIGRATION_MODULES = {"rollups": None}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# DuckDB adopts the process's TZ, which Django sets from this: UTC everywhere.
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "static/"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": os.environ.get("LOG_LEVEL", "WARNING").upper()},
}
