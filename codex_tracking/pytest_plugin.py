"""The pytest fixture: ``pytest_plugins = ["codex_tracking.pytest_plugin"]`` in the project's ``conftest.py``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def tracking() -> Iterator[None]:
    """Count in memory alone, with nothing counted at the test's beginning; see ``codex_tracking.testing``."""
    # Not at the top: plugins are loaded before Django is set up.
    from codex_tracking.testing import tracking_in_memory

    with tracking_in_memory():
        yield
