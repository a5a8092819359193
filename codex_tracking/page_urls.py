"""The address of the browser script's claims, for ``include()`` under a prefix that no block list knows::

    path("seen/", include("codex_tracking.page_urls"))

Not among the dashboard's: its prefix often says "tracking", and browsers with a block list refuse such an address.
"""

from __future__ import annotations

from django.urls import include, path

from codex_tracking.web.claims import claim_view

# Our own ``app_name``, so that the middleware leaves these requests alone; a namespace beside the dashboard's.
urlpatterns = [path("", include(([path("", claim_view, name="claim")], "codex_tracking"), namespace="codex_pages"))]
