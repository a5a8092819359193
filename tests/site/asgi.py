"""The test site for ASGI servers."""

from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.site.settings")
# The styles and scripts of the dashboard and the admin, which a real site serves from its web server.
django = ASGIStaticFilesHandler(get_asgi_application())

# Imported after Django's set-up, as a project would.
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402

from codex_tracking.lifespan import TrackingLifespan  # noqa: E402
from codex_tracking.routing import websocket_urlpatterns  # noqa: E402

application = TrackingLifespan(ProtocolTypeRouter({"http": django, "websocket": URLRouter(websocket_urlpatterns)}))
