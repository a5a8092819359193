"""Settings that the compose file and the unit beside this expect; they belong at the end of a project's own."""

from __future__ import annotations

import os

DEBUG = False
SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["www.example.com", "localhost"]
STATIC_URL = "static/"
STATIC_ROOT = "/site/static"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("POSTGRES_HOST", "127.0.0.1"),
        "NAME": "site",
        "USER": "site",
        "PASSWORD": os.environ["POSTGRES_PASSWORD"],
        # Under ASGI each request has a thread of its own, and without a pool a new connection too.
        "OPTIONS": {"pool": True},
    }
}

CODEX_TRACKING = {
    "redis_url": os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"),
    # nginx appends the client's address to X-Forwarded-For.
    "trusted_proxies": 1,
}

# nginx tells whether the visitor came by https.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# As soon as nginx has a certificate; before that nobody could log in.
# SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
