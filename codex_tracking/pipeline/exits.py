"""The ends of a process that Python tells of: its own, and those of the children of multiprocessing and Celery."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable
from typing import Any

CELERY_UID = "codex_tracking.exit"
_finalizers: list[Any] = []


def call_at_exit(function: Callable[[], None]) -> None:
    """Call a function when this process ends, in place of the one before; it may be called more than once."""
    forget_exit(function)
    atexit.register(function)
    # Whoever is a child of one of these has loaded it.
    process, signals = sys.modules.get("multiprocessing.process"), sys.modules.get("celery.signals")
    # Before Python 3.13 such a child ends without atexit.
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        _finalizers.append(Finalize(None, function, exitpriority=0))
    # Celery's processes end by os._exit.
    if signals is not None:
        signals.worker_process_shutdown.connect(lambda **_: function(), weak=False, dispatch_uid=CELERY_UID)


def forget_exit(function: Callable[[], None]) -> None:
    """Call it no more."""
    atexit.unregister(function)
    while _finalizers:
        _finalizers.pop().cancel()
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        signals.worker_process_shutdown.disconnect(dispatch_uid=CELERY_UID)
