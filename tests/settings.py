"""Settings of the tests that run inside pytest: the test site's, with all databases side by side."""

from __future__ import annotations

from tests.kit.databases import entries
from tests.site.settings import *  # noqa: F403

DATABASES = entries()
DATABASE_ROUTERS = ["tests.kit.routers.PinnedRouter"]
CODEX_TRACKING = {"redis_url": "memory://"}
