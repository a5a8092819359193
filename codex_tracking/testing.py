"""Test support for projects that use this library: counting in memory, and assertions about counted requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import get_args

from codex_tracking.counters.buffer import get_buffer, reset_buffer
from codex_tracking.counters.fields import Counts, counter, values_of
from codex_tracking.counters.ledger import ledger
from codex_tracking.hits.hit import Reason
from codex_tracking.hits.rules import other_content
from codex_tracking.hits.text import normalise
from codex_tracking.isolation import isolate
from codex_tracking.pipeline.runner import get_runner, reset_runner
from codex_tracking.pipeline.sessions import members_of
from codex_tracking.setting_rules import EMBEDDED
from codex_tracking.settings import force

BROWSER = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "accept": "text/html",
}
"""Headers of a person's browser: ``client.get("/", headers=BROWSER)``. Django's test client alone counts as a bot."""

REASONS = tuple(reason for reason in get_args(Reason) if reason != "disabled")
"""Reasons that ``assert_excluded`` knows; nothing at all is noted while counting is switched off."""


@contextmanager
def tracking_in_memory() -> Iterator[None]:
    """Count in this process alone until the end of ``with``: nothing reaches a Redis or the database.

    Begins and ends with nothing counted, and counts whatever the settings say about ``enabled``. Reads see an embedded
    store that is empty (``memory://``), and the rows that a test puts into the tables.
    """
    reset_tracking()
    before = isolate(True)
    force(enabled=True, redis_enabled=True, redis_url=EMBEDDED)
    try:
        yield
    finally:
        force()
        isolate(before)
        reset_tracking()


@contextmanager
def tracking_in_background() -> Iterator[None]:
    """Push and flush in the background until the end of ``with``, as a server does: to the Redis of the settings.

    Without it, nothing of this library works in the background of a test run, and no Redis is read or written. Give
    the tests a Redis of their own; the tasks write to the test database, from another connection than the test's.
    """
    before = isolate(False)
    try:
        yield
    finally:
        reset_tracking()
        isolate(before)


def assert_tracked(path: str, views: int = 1) -> None:
    """Require the number of times that a page was counted since the test began.

    Args:
        path: as it is stored: without query string, and with names for secrets, as ``/reset/<token>/``.
        views: exactly; 0 for never.

    Raises:
        AssertionError: it was not; the message lists all that was counted, and all that was left out by reason.
    """
    found = _counts().get(counter("path", normalise(path)), 0)
    if found != views:
        raise AssertionError(f"{path} was counted {found} times, not {views}. {_all_counted()}")


def assert_excluded(reason: Reason, n: int = 1) -> None:
    """Require the number of requests that were left out for this reason since the test began.

    Args:
        reason: such as ``bot``, ``prefetch`` or ``staff``.
        n: exactly; 0 for never.

    Raises:
        AssertionError: it was another number; the message lists all that was counted, and all that was left out.
        ValueError: there is no such reason.
    """
    if reason not in REASONS:
        raise ValueError(f"reason must be one of {', '.join(REASONS)}, not {reason!r}")
    found = _counts().get(counter("excluded", reason), 0)
    if found != n:
        raise AssertionError(f"{found} requests were left out as {reason!r}, not {n}. {_all_counted()}")


def reset_tracking() -> None:
    """Forget all that this process has counted and not yet written, so that no test sees another's views."""
    # Not at the top: these load the models and the Redis client, which assertions do not need.
    from codex_tracking.stats.cache import reset_figures
    from codex_tracking.store.client import clear_embedded
    from codex_tracking.store.watching import forget_looks

    other_content.clear()
    # The tasks end first, since they would push what the next lines drop.
    get_runner().abandon()
    reset_runner()
    reset_buffer()
    clear_embedded()
    forget_looks()
    reset_figures()
    ledger.clear()


def _counts() -> Counts:
    """Return all counters, with sessions read as in the background; without a database nobody is known."""
    buffer = get_buffer()
    waiting = [later for later in buffer.later() if later.session or later.user]
    if waiting:
        # pytest-django forbids the database to tests that do not ask for it.
        with suppress(Exception):
            buffer.learn(members_of(waiting))
    return buffer.counts()


def _all_counted() -> str:
    counts = _counts()
    views, excluded = _sorted(values_of("path", counts)), _sorted(values_of("excluded", counts))
    return f"Counted: {views or 'nothing'}. Not counted: {excluded or 'nothing'}."


def _sorted(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))
