"""Serves Larkspur: ``uvicorn larkspur.asgi:application`` in the folder ``examples``."""

from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from codex_tracking.lifespan import TrackingLifespan

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "larkspur.settings")

# Without a web server in front, the site serves its static files itself.
application = TrackingLifespan(ASGIStaticFilesHandler(get_asgi_application()))
