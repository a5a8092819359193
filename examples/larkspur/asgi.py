"""Serves Larkspur: ``uvicorn larkspur.asgi:application`` in the folder ``examples``."""

from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "larkspur.settings")
# Without a web server in front, the site serves its static files itself.
django = ASGIStaticFilesHandler(get_asgi_application())

# What follows needs Django set up.
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402

from codex_tracking.lifespan import TrackingLifespan  # noqa: E402
from codex_tracking.routing import websocket_urlpatterns  # noqa: E402

application = TrackingLifespan(ProtocolTypeRouter({"http": django, "websocket": URLRouter(websocket_urlpatterns)}))
