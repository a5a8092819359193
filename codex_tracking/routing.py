"""URL patterns of the live figures' websocket, for sites with Channels (``pip install codex-tracking[live]``).

::

    application = TrackingLifespan(
        ProtocolTypeRouter({"http": get_asgi_application(), "websocket": URLRouter(websocket_urlpatterns)})
    )

The consumer reads the session itself, so it needs no session or authentication middleware around it.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import path

from codex_tracking.settings import get_tracking_settings
from codex_tracking.web.api.socket import LiveConsumer

# Empty switches the websocket off; an empty pattern would match the site's root.
PATH = get_tracking_settings().live_path.lstrip("/")
# Proxies hand on the site's prefix or remove it. Channels removes one that the server names, and knows no setting.
PREFIX = f"{settings.FORCE_SCRIPT_NAME or ''}/".lstrip("/")

websocket_urlpatterns: list[Any] = [
    path(prefix + PATH, LiveConsumer.as_asgi(), name="codex_tracking_live")
    for prefix in dict.fromkeys(("", PREFIX))
    if PATH
]
