"""The project's settings: one dictionary for both libraries; ``TRACKING_APP`` says which one is installed."""

from __future__ import annotations

import os
import sys

# At the end, so that the Django under test wins over the one that the ancestor's installation brought.
sys.path.append(os.environ["ANCESTOR"])

APP = os.environ["TRACKING_APP"]
SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    *os.environ.get("MORE_APPS", "").split(),
    APP,
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    f"{APP}.middleware.PageTrackingMiddleware",
]
ROOT_URLCONF = "tests.ancestor.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}}
REDIS_URL = os.environ["REDIS_URL"]
CODEX_TRACKING = {
    "enabled": True,
    "redis_enabled": True,
    "redis_url": REDIS_URL,
    "key_prefix": "shop:tracking",
    "ttl_seconds": 86_400,
    "skip_prefixes": ["/static/"],
    "track_anonymous": True,
    "track_redirects": True,
    "track_dashboard_widgets": True,
    "analytics_url": "/cabinet/tracking/",
    "analytics_days": 14,
}
