"""Settings of Larkspur: what a small Django site has, and the four edits that install the tracking."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent

SECRET_KEY = "only-for-the-demo-which-listens-on-this-machine-alone"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
ROOT_URLCONF = "larkspur.urls"
ASGI_APPLICATION = "larkspur.asgi.application"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/account/"
LOGOUT_REDIRECT_URL = "/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "larkspur",
    "codex_tracking",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
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
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("LARKSPUR_DATABASE", HERE.parent / "larkspur.sqlite3"),
        # Readers never wait for a flush, and writers queue instead of failing with "database is locked".
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL;", "transaction_mode": "IMMEDIATE", "timeout": 20},
    }
}
CODEX_TRACKING = {
    # The visits of the demo come from all over the world, through a proxy that a CDN might be.
    "trusted_proxies": 1,
    "country_header": "CF-IPCountry",
    # A log of visits, for filters on every figure.
    "visit_log_days": 90,
    # The browser script, which base.html has.
    "page_ids": True,
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {
        # Without DEBUG Django would send errors by e-mail only.
        "django": {"handlers": ["console"], "level": "ERROR"},
        "codex_tracking": {"handlers": ["console"], "level": "WARNING"},
    },
}
