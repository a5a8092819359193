"""``codex_tracking.testing``: what a project's own tests may say about what was counted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import unittest
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import AsyncClient, Client, SimpleTestCase
from django.utils import timezone
from pytest_django import Settings

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.models import PageView
from codex_tracking.pipeline.runner import get_runner
from codex_tracking.selector import TrackingSelector
from codex_tracking.settings import get_tracking_settings
from codex_tracking.testing import BROWSER, assert_excluded, assert_tracked, tracking_in_memory
from tests.kit.pipeline import today, view
from tests.kit.programs import loaded_by
from tests.project.test_readme import block

pytest_plugins = ["codex_tracking.pytest_plugin"]


@pytest.mark.usefixtures("tracking")
def test_a_view_is_seen_by_a_sync_test(client: Client) -> None:
    client.get("/page/1/?from=mail", headers=BROWSER)
    client.get("/page/1/", headers=BROWSER)
    assert_tracked("/page/1/", views=2)
    assert_tracked("/", views=0)


@pytest.mark.usefixtures("tracking")
async def test_a_view_is_seen_by_an_async_test(async_client: AsyncClient) -> None:
    await async_client.get("/page/1/", headers=BROWSER)
    assert_tracked("/page/1/")


class InAProjectsTestCase(SimpleTestCase):
    """As a project without pytest writes it."""

    def setUp(self) -> None:
        self.enterContext(tracking_in_memory())

    def test_a_view_is_seen(self) -> None:
        self.client.get("/", headers=BROWSER)
        assert_tracked("/")

    async def test_a_view_is_seen_in_an_async_test(self) -> None:
        await self.async_client.get("/", headers=BROWSER)
        assert_tracked("/")


@pytest.mark.usefixtures("tracking")
@pytest.mark.parametrize(
    ("path", "headers", "reason"),
    [
        ("/", {"user-agent": "Googlebot/2.1"}, "bot"),
        ("/", {"sec-purpose": "prefetch"}, "prefetch"),
        ("/", {"hx-request": "true"}, "partial"),
        ("/json/", {}, "content_type"),
        ("/no/such/page/", {}, "status"),
        ("/static/site.css", {}, "prefix"),
    ],
)
def test_why_a_request_was_left_out_is_seen(client: Client, path: str, headers: dict[str, str], reason: str) -> None:
    client.get(path, headers=BROWSER | headers)
    assert_excluded(reason)  # type: ignore[arg-type]
    assert_tracked(path, views=0)


@pytest.mark.usefixtures("tracking")
def test_the_test_client_alone_is_a_bot_and_the_failure_says_so(client: Client) -> None:
    client.get("/")
    with pytest.raises(AssertionError, match=r"/ was counted 0 times, not 1\..* Not counted: \{'bot': 1\}"):
        assert_tracked("/")


@pytest.mark.usefixtures("tracking")
def test_one_view_too_many_fails_and_the_failure_names_all_that_was_counted(client: Client) -> None:
    for path in ("/", "/", "/page/2/"):
        client.get(path, headers=BROWSER)
    with pytest.raises(AssertionError, match=r"not 1\. Counted: \{'/': 2, '/page/2/': 1\}"):
        assert_tracked("/")
    with pytest.raises(AssertionError, match="0 requests were left out as 'bot', not 1"):
        assert_excluded("bot")


def test_a_reason_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match=r"reason must be one of method, status, .*, not 'robot'"):
        assert_excluded("robot")  # type: ignore[arg-type]


@pytest.mark.usefixtures("tracking")
def test_secrets_are_asserted_as_they_are_stored(client: Client) -> None:
    client.get("/reset/MQ/set-password-7/", headers=BROWSER)
    assert_tracked("/reset/<uidb64>/<token>/")


@pytest.mark.usefixtures("tracking")
def test_all_days_count_together() -> None:
    get_buffer().put(view("/a/"))
    get_buffer().put(view("/a/", at=view().at - 86_400))
    assert_tracked("/a/", views=2)


def test_nothing_is_counted_at_the_beginning_and_nothing_stays() -> None:
    get_buffer().put(view("/before/"))
    with tracking_in_memory():
        assert_tracked("/before/", views=0)
        get_buffer().put(view("/within/"))
        assert_tracked("/within/")
    assert get_buffer().empty


async def test_nothing_leaves_the_memory_whatever_the_settings_say(
    async_client: AsyncClient, tracking_settings: Callable[..., None]
) -> None:
    # Nobody listens there, and without a database mark any query fails the test.
    url = "redis://127.0.0.1:1/0"
    tracking_settings(redis_url=url, enabled=False, push_interval=0.01, flush_interval=0.01)
    before = asyncio.all_tasks()
    with tracking_in_memory():
        await async_client.get("/", headers=BROWSER)
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == before
        assert get_tracking_settings().embedded
        assert_tracked("/")
    assert get_tracking_settings().redis_url == url
    assert not get_runner().running


@pytest.mark.parametrize("number", [1, 2])
def test_settings_that_a_test_changes_do_not_outlive_it(settings: Settings, tracking: None, number: int) -> None:
    assert set(settings.CODEX_TRACKING) == {"redis_url"}
    settings.CODEX_TRACKING = {"redis_url": "redis://127.0.0.1:1/0", "track_redirects": True}
    assert get_tracking_settings().track_redirects
    assert get_tracking_settings().embedded


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("tracking")
async def test_reads_see_the_rows_that_a_test_makes() -> None:
    day = timezone.localdate()
    await PageView.objects.acreate(path="/a/", date=day, views=3)
    await PageView.objects.acreate(path="/a/", date=day - timedelta(days=1), views=2)
    assert await TrackingSelector.daily_counts(today()) == {"/a/": 3}


@pytest.mark.integration
def test_the_readmes_examples_pass_in_a_project_of_their_own(tmp_path: Path) -> None:
    parts = [block("python", "codex_tracking.pytest_plugin"), block("python", "tracking_in_memory")]
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["codex_tracking.pytest_plugin"]\n')
    (tmp_path / "test_it.py").write_text("\n".join(parts).replace("pytest_plugins = ", "written_in_conftest = "))
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "asyncio_mode=auto",
        "--ds=tests.settings",
        f"--rootdir={tmp_path}",
    ]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.integration
def test_neither_the_library_nor_its_assertions_need_pytest() -> None:
    assert "pytest" not in loaded_by("import codex_tracking.testing")


def test_a_test_case_is_run_by_this_module() -> None:
    assert issubclass(InAProjectsTestCase, unittest.TestCase)
