"""Template tags: figures in any template, without I/O where an event loop runs."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.db import connection
from django.template import Context, engines
from django.test.utils import CaptureQueriesContext
from django.urls import resolve
from pytest_django import Settings

import codex_tracking
from codex_tracking.checks.pages import BLOCKED_WORDS, check_page_addresses
from codex_tracking.stats import cache as figures_module
from codex_tracking.stats.cache import FRESH_SECONDS, MOST_QUESTIONS, Figures, Question, get_figures, reset_figures
from codex_tracking.web.script import SCRIPT, TIMINGS
from tests.conftest import Sites
from tests.kit.pipeline import Process, request_for, views
from tests.servers import RedisServer, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fresh_figures() -> Iterator[None]:
    reset_figures()
    yield
    wait_until(lambda: not _refreshing(), 10, "the figures are read")
    reset_figures()


def _refreshing() -> bool:
    return any(thread.name == "codex_tracking.stats.cache" for thread in threading.enumerate())


LIST = "{% for page in pages %}{{ page.path }}={{ page.views }};{% endfor %}"


def render(text: str, path: str = "/", **context: Any) -> str:
    """Return a template's text on a page."""
    template = engines["django"].from_string("{% load tracking %}" + text)
    return template.render(context, request_for(path))


class Article:
    """Has a page."""

    def get_absolute_url(self) -> str:
        """Return its address."""
        return "/articles/%C3%A4/?from=list"


async def counted(process: Process, *hits: Any) -> None:
    """Bring hits to the database."""
    await process.push(*hits)
    await process.flusher.flush_pending()


@pytest.fixture
async def counts(process: Process) -> None:
    """Have some views in the database."""
    await counted(process, *views("/", 3), *views("/articles/ä/", 2), *views("/articles/b/", 4))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{% page_views %}", "3"),
        ('{% page_views "/articles/b/" %}', "4"),
        ("{% page_views article %}", "2"),
        ("{% page_views article days=1 %}", "2"),
        ("{% page_views article days='x' as n %}[{{ n }}]", "[2]"),
        ('{% page_views "/nothing/" %}', "0"),
        ("[{% page_views missing.thing %}]", "[]"),
        ("{% page_views 7 %}", ""),
        (
            "{% popular_pages limit=1 as pages %}" + LIST,
            "/articles/b/=4;",
        ),
        (
            '{% popular_pages under="/articles/ä" as pages %}' + LIST,
            "/articles/ä/=2;",
        ),
    ],
)
def test_tag_in_a_sync_view_shows_the_figure_at_once(counts: None, text: str, shown: str) -> None:
    assert render(text, article=Article()) == shown


async def test_tag_on_the_event_loop_shows_the_figure_after_one_page(
    counts: None, caplog: pytest.LogCaptureFixture
) -> None:
    text = "{% page_views %}/{% page_views article %}/{% popular_pages limit=1 as pages %}{{ pages.0.path }}"
    assert render(text, article=Article()) == "//"
    await asyncio.to_thread(wait_until, lambda: not _refreshing(), 10, "the figures are read")
    assert render(text, article=Article()) == "3/2//articles/b/"
    # Django forbids queries on the loop; one would have been logged as a figure that cannot be read.
    assert caplog.text == ""


def test_a_figure_is_asked_for_once_in_its_time(counts: None) -> None:
    now = [0.0]
    figures = Figures(clock=lambda: now[0] + 1)
    question = Question("page", 30, path="/")
    assert figures.get(question) == 3
    with CaptureQueriesContext(connection) as queries:
        now[0] = FRESH_SECONDS
        assert figures.get(question) == 3
        assert len(queries) == 0
        now[0] += 1
        assert figures.get(question) == 3
    assert len(queries) > 0


def test_all_pages_that_are_due_are_read_at_once(counts: None) -> None:
    now = [0.0]
    figures = Figures(clock=lambda: now[0] + 1)
    for number in range(50):
        figures.get(Question("page", 30, path=f"/page/{number}/"))
    now[0] = FRESH_SECONDS / 2
    for number in range(50):
        figures.get(Question("page", 30, path=f"/page/{number}/"))
    now[0] = FRESH_SECONDS + 1
    with CaptureQueriesContext(connection) as queries:
        for number in range(50):
            figures.get(Question("page", 30, path=f"/page/{number}/"))
    pages = [query for query in queries if "codex_tracking_pageview" in query["sql"]]
    assert len(pages) == 1


async def test_many_pages_on_the_loop_start_one_thread(counts: None) -> None:
    for number in range(50):
        render(f'{{% page_views "/page/{number}/" %}}')
        assert sum(thread.name == "codex_tracking.stats.cache" for thread in threading.enumerate()) <= 1


async def test_figures_are_bounded() -> None:
    figures = Figures()
    for number in range(MOST_QUESTIONS + 500):
        figures.get(Question("page", 30, path=f"/{number}/"))
    assert len(vars(figures)["_known"]) == MOST_QUESTIONS


def test_a_database_that_is_away_leaves_the_page_whole(counts: None, caplog: pytest.LogCaptureFixture) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE codex_tracking_pageview RENAME TO gone")
    try:
        assert render("[{% page_views %}]{% popular_pages as pages %}{{ pages }}") == "[][]"
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE gone RENAME TO codex_tracking_pageview")
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize("address", ["//[a", "http://[::1/", "", "mailto:a@site.example"])
def test_no_address_costs_the_page(db: None, address: str) -> None:
    assert render(f"[{{% page_views '{address}' %}}]") in ("[]", "[0]")


def test_page_without_a_request_shows_nothing() -> None:
    template = engines["django"].from_string("{% load tracking %}[{% page_views %}]")
    assert template.template.render(Context({})) == "[]"  # type: ignore[attr-defined]


def test_secrets_in_the_current_page_are_asked_for_as_they_are_stored() -> None:
    request = request_for("/reset/MQ/abc-123/")
    request.resolver_match = resolve("/reset/MQ/abc-123/")
    engines["django"].from_string("{% load tracking %}{% page_views %}").render({}, request)
    asked = [question.path for question in vars(get_figures())["_known"]]
    assert asked == ["/reset/<uidb64>/<token>/"]


@pytest.mark.parametrize("server", ["uvicorn", "wsgi"])
def test_pages_of_a_real_site_show_figures(app_server: Sites, redis_server: RedisServer, server: str) -> None:
    often = {"push_interval": 0.1, "flush_interval": 0.3}
    reporting = {"ROOT_URLCONF": "tests.site.reporting"}
    site = app_server(server=server, redis=redis_server, tracking=often, settings=reporting)
    for number, n in ((1, 3), (2, 2), (3, 1)):
        for _ in range(n):
            site.get(f"/page/{number}/")
    wait_until(lambda: site.views().get("/page/3/") == 1, 20, "the views are in the database")
    shown = "<p>/page/1/: 3</p><p>/page/2/: 2</p>"
    assert shown in site.get("/blocking-figures/").body
    site.get("/figures/")
    wait_until(lambda: shown in site.get("/figures/").body, 20, "the async page shows the figures")
    assert site.get("/figures/").status == 200


def test_answers_hold_what_was_asked() -> None:
    asked = [Question("page", 30, path="/"), Question("page", 7, path="/"), Question("popular", 7, limit=3)]
    assert figures_module.answer(asked) == {asked[0]: 0, asked[1]: 0, asked[2]: []}


# --- the browser script ---


def beacon(**context: Any) -> str:
    """Return what the tag renders."""
    return engines["django"].from_string("{% load tracking %}{% tracking_beacon %}").render(context)


def test_the_script_is_off_by_default() -> None:
    assert beacon() == ""


def test_the_script_has_its_address_and_what_it_heeds(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(page_ids=True)
    assert beacon() == (
        '<script src="/static/codex_pages/page.js" data-to="/seen/" data-heed="gpc" '
        'data-more="/static/codex_pages/paint.js" defer></script>'
    )
    tracking_settings(pages_without_id=True, respect_gpc=False, respect_dnt=True, web_vitals=False)
    assert beacon() == (
        '<script src="/static/codex_pages/page.js" data-to="/seen/" data-heed="dnt" data-all="" defer></script>'
    )


def test_the_script_has_the_nonce_of_the_page(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(page_ids=True)
    assert ' nonce="a&amp;b" data-more=' in beacon(csp_nonce="a&b")
    request = request_for()
    request.csp_nonce = "of-django-csp"  # type: ignore[attr-defined]
    assert ' nonce="of-django-csp"' in beacon(request=request)


class FalseUntilRead:
    """The nonce of django-csp 4: before the answer it is made when it is read, after the answer reading is an error."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make

    def __bool__(self) -> bool:
        """Return False, as nothing has read it."""
        return False

    def __str__(self) -> str:
        """Make it."""
        return self._make()


def _too_late() -> str:
    raise Exception("The 'csp_nonce' attribute is not available after the CSP header has been written.")


def test_the_script_reads_the_nonce_of_django_csp_though_nothing_before_it_did(
    tracking_settings: Callable[..., None],
) -> None:
    tracking_settings(page_ids=True)
    request = request_for()
    request.csp_nonce = FalseUntilRead(lambda: "of-django-csp")  # type: ignore[attr-defined]
    assert ' nonce="of-django-csp"' in beacon(request=request)
    request.csp_nonce = FalseUntilRead(_too_late)  # type: ignore[attr-defined]
    assert "nonce" not in beacon(request=request)


def test_the_script_reads_djangos_nonce_though_nothing_before_it_did(tracking_settings: Callable[..., None]) -> None:
    csp = pytest.importorskip("django.utils.csp", reason="Django 5.2 has no content security policy")
    tracking_settings(page_ids=True)
    nonce = csp.LazyNonce()
    element = beacon(csp_nonce=nonce)
    assert f' nonce="{nonce}" ' in element


def test_the_script_is_left_out_where_no_address_takes_its_reports(
    tracking_settings: Callable[..., None], settings: Settings
) -> None:
    tracking_settings(page_ids=True)
    settings.ROOT_URLCONF = "tests.site.bare"
    assert beacon() == ""


def test_a_page_does_not_fail_before_the_scripts_files_are_collected(
    tracking_settings: Callable[..., None], settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracking_settings(page_ids=True)
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}
    }

    assert beacon() == beacon() == ""
    assert caplog.text.count("collectstatic") == 1
    assert check_page_addresses(None) == []


def test_the_script_is_small_and_no_block_list_refuses_it() -> None:
    # Tried: the words of public block lists for addresses, in the script's and in all of the dashboard's files.
    for name in (SCRIPT, TIMINGS):
        found = [finders.find(name)]
        assert found[0] is not None
        assert len(gzip.compress(Path(found[0]).read_bytes(), 9)) <= 2_500
        assert not [word for word in ("vitals", "metrics", "perf", "timing", "stat") if word in name]
    folder = Path(codex_tracking.__file__).parent / "static"
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    assert {SCRIPT, TIMINGS} <= set(names)
    assert not [name for name in names if any(word in name.lower() for word in BLOCKED_WORDS)]
