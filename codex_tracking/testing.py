"""For the tests of projects that use this library."""

from __future__ import annotations

from codex_tracking.buffer import reset_buffer
from codex_tracking.metrics import ledger
from codex_tracking.runner import get_runner, reset_runner


def reset_tracking() -> None:
    """Forget all that this process has counted and not yet written, so that no test sees another's views."""
    from codex_tracking.manager import clear_embedded

    get_runner().abandon()
    reset_runner()
    reset_buffer()
    clear_embedded()
    ledger.clear()
