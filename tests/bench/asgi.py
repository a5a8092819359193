"""The measured site for ASGI servers: with our lifespan where our middleware is installed."""

from __future__ import annotations

import gc

from django.conf import settings
from django.core.asgi import get_asgi_application

django = get_asgi_application()

from codex_tracking.lifespan import TrackingLifespan  # noqa: E402

application = TrackingLifespan(django) if settings.MIDDLEWARE else django

if getattr(settings, "BENCH_FREEZE", False):
    # As `TrackingLifespan` does, for a site without it.
    gc.collect()
    gc.freeze()
