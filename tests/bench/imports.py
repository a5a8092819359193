"""The import of ``codex_tracking.middleware`` in a Django process: its time, and the modules it brings along."""

from __future__ import annotations

import gc
import sys
import time
from typing import TYPE_CHECKING

from tests.bench.child import report
from tests.bench.figure import Figure

if TYPE_CHECKING:
    from tests.bench.bench import Bench

MOST_MS = 30.0
UNWANTED = ("redis", "fakeredis", "lupa", "channels", "ua_parser", "maxminddb")


def measure(bench: Bench) -> list[Figure]:
    """Import it in new processes, with warm files."""
    runs = [bench.run("imports", env=bench.environment(redis=False)) for _ in range(bench.size(15, 4))][1:]
    loaded = sorted({name for run in runs for name in run["loaded"]})
    return [
        Figure("import of codex_tracking.middleware", [run["ms"] for run in runs], "ms", most=MOST_MS),
        Figure("modules it loads", [run["modules"] for run in runs], ""),
        Figure(f"of {', '.join(UNWANTED)}: loaded", [len(loaded)], "", most=0, notes={"loaded": ", ".join(loaded)}),
        Figure("bot list and device tables, in the flusher's thread", [run["warm_ms"] for run in runs], "ms"),
    ]


def main() -> None:
    """Import what a project with Django's usual applications has not loaded yet."""
    import django
    from django.conf import settings

    usual = ("admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")
    settings.configure(INSTALLED_APPS=[f"django.contrib.{name}" for name in usual])
    django.setup()
    # What every ASGI process has loaded by the time its middleware is.
    import django.core.asgi
    import django.urls.resolvers

    # Django's own heap, which takes Python's garbage collector 16 ms when its turn comes here, is not our doing.
    gc.collect()
    gc.freeze()
    before, begin = len(sys.modules), time.process_time()
    import codex_tracking.middleware  # noqa: F401

    ms = (time.process_time() - begin) * 1000
    modules, loaded = len(sys.modules) - before, [name for name in UNWANTED if name in sys.modules]
    begin = time.process_time()
    from codex_tracking.counters.dimensions import warm
    from codex_tracking.settings import get_tracking_settings

    warm(get_tracking_settings())
    report(ms=ms, modules=modules, loaded=loaded, warm_ms=(time.process_time() - begin) * 1000)


if __name__ == "__main__":
    main()
