"""Settings of the test site, driven by the environment.

``TEST_DATABASE``: JSON of one ``DATABASES`` entry; a SQLite file in the current folder when unset.
``TEST_REDIS_URL``: where the live counters are; the embedded store when unset.
``TEST_TRACKING``: JSON of further keys of ``CODEX_TRACKING``.
``TEST_SETTINGS``: JSON of any further settings, such as ``{"DEBUG": true}``.
``TEST_TIME_ZONE``: the site's; one in which it is midday when unset.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any

import pymysql

# Django asks for mysqlclient, which has no wheels; PyMySQL speaks for it when it names a version that Django accepts.
pymysql.version_info = (2, 2, 8, "final", 0)
pymysql.install_as_MySQLdb()


def sqlite(path: str) -> dict[str, Any]:
    """Return a ``DATABASES`` entry for a SQLite file as we recommend it: WAL, and writers queue from the start."""
    options = {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL;"}
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": path, "OPTIONS": options}


def midday_zone() -> str:
    """Return a time zone in which it is between twelve and one o'clock, and the same day as in UTC."""
    hours = datetime.now(UTC).hour - 12
    # POSIX counts hours to the west.
    return f"Etc/GMT{hours:+d}" if hours else "Etc/GMT"


SECRET_KEY = "only-for-the-tests-of-codex-tracking-0123456789"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
# No run comes near midnight, when what a test did a minute ago was yesterday. Processes that it starts take the same.
TIME_ZONE = os.environ.setdefault("TEST_TIME_ZONE", midday_zone())
LANGUAGE_CODE = "en"
ROOT_URLCONF = "tests.site.urls"
ASGI_APPLICATION = "tests.site.asgi.application"
WSGI_APPLICATION = "tests.site.wsgi.application"
STATIC_URL = "/static/"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/me/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "codex_tracking",
]
MIDDLEWARE = [
    "codex_tracking.middleware.PageTrackingMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {"codex_tracking": {"handlers": ["console"], "level": "INFO"}},
}
DATABASES = {"default": json.loads(os.environ.get("TEST_DATABASE", "null")) or sqlite("site.sqlite3")}
CODEX_TRACKING = {"redis_url": os.environ.get("TEST_REDIS_URL", "memory://")} | json.loads(
    os.environ.get("TEST_TRACKING", "{}")
)

globals().update(json.loads(os.environ.get("TEST_SETTINGS", "{}")))
