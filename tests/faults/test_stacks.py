"""Real projects' surroundings of the middleware: other middleware, routers, mounts, kinds of views."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.routing import ProtocolTypeRouter
from django.conf.urls.i18n import i18n_patterns
from django.core.asgi import get_asgi_application
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import include, path, set_script_prefix
from django.views import View
from pytest_django import Settings

from codex_tracking.lifespan import TrackingLifespan
from codex_tracking.pipeline.runner import get_runner
from codex_tracking.testing import BROWSER, assert_excluded, assert_tracked
from tests.conftest import Sites
from tests.entrances.test_lifespan import Server
from tests.kit.faults import OFTEN, PUSH_ONLY, assert_all_counted
from tests.kit.load import Load, pages
from tests.kit.pipeline import rows
from tests.servers import RedisServer
from tests.site import settings as site_settings

pytest_plugins = ["codex_tracking.pytest_plugin"]

TRACKING = "codex_tracking.middleware.PageTrackingMiddleware"
FILE = Path(__file__)


# --- the pages of this module, a URLconf of its own ---


class Product(View):
    """A class-based view that is async throughout."""

    async def get(self, request: HttpRequest, number: int) -> HttpResponse:
        """Answer a page."""
        return HttpResponse(f"<h1>Product {number}</h1>" + 500 * "<p>long enough to be worth compressing")

    async def post(self, request: HttpRequest, number: int) -> HttpResponse:
        """Answer a form."""
        return HttpResponse("<p>Thanks")


def download(request: HttpRequest, name: str) -> FileResponse:
    """Answer a file: the name's ending decides what it is."""
    return FileResponse(FILE.open("rb"), filename=name)


rendered: list[str] = []


def slow_page(request: HttpRequest) -> HttpResponse:
    """Answer a page and write down that it had to be made."""
    rendered.append(request.path)
    return HttpResponse("<h1>Slow</h1>")


urlpatterns = [
    path("product/<int:number>/", Product.as_view(), name="product"),
    path("files/<str:name>", download),
    path("slow/", slow_page),
    path("", include("tests.site.urls")),
]


class LocalisedUrls:
    """A URLconf with the language in front."""

    urlpatterns = i18n_patterns(path("product/<int:number>/", Product.as_view()), path("", slow_page))


@pytest.fixture
def stack(settings: Settings, tracking: None) -> Callable[..., None]:
    """Return a function that puts middleware behind ours, with this module's pages; all is counted in memory."""
    settings.ROOT_URLCONF = "tests.faults.test_stacks"
    rendered.clear()

    def build(*names: str) -> None:
        settings.MIDDLEWARE = [TRACKING, *names, "django.middleware.common.CommonMiddleware"]

    build()
    return build


# --- ASGI applications around Django ---


async def ask(app: Any, where: str, **changes: Any) -> int:
    """Ask an ASGI application for a page, as a server does, and return the status."""
    headers = [(b"host", b"site.example"), *((name.encode(), value.encode()) for name, value in BROWSER.items())]
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": where,
        "raw_path": where.encode(),
        "query_string": b"",
        "headers": headers,
        "root_path": "",
        "client": ("192.0.2.1", 1),
        "server": ("127.0.0.1", 80),
    }
    # asgiref is written without types.
    communicator: Any = ApplicationCommunicator
    client = communicator(app, scope | changes)
    await client.send_input({"type": "http.request", "body": b"", "more_body": False})
    status = (await client.receive_output(5))["status"]
    while (await client.receive_output(5)).get("more_body"):
        pass
    await client.wait(5)
    return int(status)


class Framework:
    """An ASGI framework that has a lifespan of its own and mounts Django below, as Starlette and FastAPI do.

    Args:
        django: gets requests only: frameworks pass no lifespan on to what is mounted.
    """

    def __init__(self, django: Any) -> None:
        self.django = django
        self.pool = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            self.pool = "open"
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.pool = "closed"
            await send({"type": "lifespan.shutdown.complete"})
        else:
            assert self.pool == "open"
            await self.django(scope, receive, send)


def lifespan_outside() -> Any:
    """Wrap Channels' router, which then needs no entry for lifespans."""
    return TrackingLifespan(ProtocolTypeRouter({"http": get_asgi_application()}))


def lifespan_inside() -> Any:
    """Put the wrapper into Channels' router, under both names."""
    application = TrackingLifespan(get_asgi_application())
    return ProtocolTypeRouter({"http": application, "lifespan": application})


def framework_inside() -> Any:
    """Wrap a framework that mounts Django."""
    return TrackingLifespan(Framework(get_asgi_application()))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "build", [lifespan_outside, lifespan_inside, framework_inside], ids=lambda build: build.__name__
)
async def test_the_lifespan_drains_in_every_order_of_applications(
    build: Callable[[], Any], tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(**PUSH_ONLY)
    app = build()
    server = Server(app)
    assert await server.tell("startup") == "lifespan.startup.complete"
    assert get_runner().lifespans == 1
    assert await ask(app, "/page/1/") == 200
    assert await server.tell("shutdown") == "lifespan.shutdown.complete"
    await server.task
    assert await rows() == {"/page/1/": 1}


async def test_a_framework_around_us_still_opens_and_closes_what_is_its_own() -> None:
    framework = Framework(get_asgi_application())
    server = Server(TrackingLifespan(framework))
    await server.tell("startup")
    assert framework.pool == "open"
    await server.tell("shutdown")
    assert framework.pool == "closed"


@pytest.mark.django_db(transaction=True)
async def test_mounted_in_a_framework_that_keeps_its_lifespan_the_first_request_starts_the_tasks(
    tracking_settings: Callable[..., None],
) -> None:
    tracking_settings(**PUSH_ONLY)
    app = Framework(TrackingLifespan(get_asgi_application()))
    server = Server(app)
    await server.tell("startup")
    assert not get_runner().running
    assert await ask(app, "/page/1/") == 200
    assert get_runner().running
    await get_runner().stop()
    await server.tell("shutdown")
    assert await rows() == {"/page/1/": 1}


# --- middleware ---


async def test_a_compressed_page_is_counted(stack: Callable[..., None], async_client: AsyncClient) -> None:
    stack("django.middleware.gzip.GZipMiddleware")
    answer = await async_client.get("/product/1/", headers=BROWSER | {"accept-encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert_tracked("/product/1/")


def test_pages_from_the_cache_are_counted_each_time(stack: Callable[..., None], client: Client) -> None:
    stack("django.middleware.cache.UpdateCacheMiddleware", "django.middleware.cache.FetchFromCacheMiddleware")
    for _ in range(3):
        assert client.get("/slow/", headers=BROWSER).status_code == 200
    assert rendered == ["/slow/"]
    assert_tracked("/slow/", views=3)


def test_a_page_that_the_browser_has_is_counted_each_time(stack: Callable[..., None], client: Client) -> None:
    stack("django.middleware.http.ConditionalGetMiddleware")
    tag = client.get("/slow/", headers=BROWSER).headers["ETag"]
    assert client.get("/slow/", headers=BROWSER | {"if-none-match": tag}).status_code == 304
    assert_tracked("/slow/", views=2)


async def test_each_language_is_a_page_and_the_way_there_is_none(
    stack: Callable[..., None], async_client: AsyncClient, settings: Settings
) -> None:
    settings.ROOT_URLCONF = LocalisedUrls
    stack("django.middleware.locale.LocaleMiddleware")
    german = BROWSER | {"accept-language": "de"}
    answer = await async_client.get("/product/1/", headers=german)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/de/product/1/")
    await async_client.get("/de/product/1/", headers=german)
    await async_client.get("/en/product/1/", headers=german)
    assert_tracked("/de/product/1/")
    assert_tracked("/en/product/1/")
    assert_tracked("/product/1/", views=0)
    assert_excluded("status")


@pytest.mark.parametrize("first", [True, False], ids=["behind ours", "before ours"])
def test_whitenoise_serves_files_and_leaves_pages_to_be_counted(
    stack: Callable[..., None], client: Client, settings: Settings, tmp_path: Path, first: bool
) -> None:
    if not find_spec("whitenoise"):
        pytest.skip("whitenoise is not installed")
    (tmp_path / "page.html").write_text("<h1>A file that looks like a page")
    settings.STATIC_ROOT = str(tmp_path)
    whitenoise = "whitenoise.middleware.WhiteNoiseMiddleware"
    stack(whitenoise)
    if not first:
        settings.MIDDLEWARE = [whitenoise, *(name for name in settings.MIDDLEWARE if name != whitenoise)]
    answer = client.get("/static/page.html", headers=BROWSER)
    assert answer.status_code == 200
    answer.close()
    client.get("/page/1/", headers=BROWSER)
    assert_tracked("/page/1/")
    assert_tracked("/static/page.html", views=0)
    assert_excluded("prefix", 1 if first else 0)


@pytest.mark.fault
def test_the_debug_toolbar_shows_and_only_the_page_is_counted(app_server: Sites, redis_server: RedisServer) -> None:
    if not find_spec("debug_toolbar"):
        pytest.skip("django-debug-toolbar is not installed")
    toolbar = {
        "DEBUG": True,
        "INTERNAL_IPS": ["127.0.0.1"],
        "ROOT_URLCONF": "tests.site.toolbar",
        "INSTALLED_APPS": [*site_settings.INSTALLED_APPS, "debug_toolbar"],
        "MIDDLEWARE": [TRACKING, "debug_toolbar.middleware.DebugToolbarMiddleware", *site_settings.MIDDLEWARE[1:]],
    }
    site = app_server(redis=redis_server, settings=toolbar, tracking=OFTEN)
    page = site.get("/login/")
    assert 'id="djDebug"' in page.body
    for address in set(re.findall(r'"(/__debug__/[^"]+)"', page.body)):
        assert site.get(address).status != 404
    assert site.get("/__debug__/history_sidebar/").status != 404
    site.stop()
    assert site.views() == {"/login/": 1}


# --- views ---


async def test_an_async_class_counts_its_pages_and_not_its_forms(
    stack: Callable[..., None], async_client: AsyncClient
) -> None:
    await async_client.get("/product/7/", headers=BROWSER)
    await async_client.post("/product/7/", headers=BROWSER)
    await async_client.head("/product/7/", headers=BROWSER)
    await async_client.options("/product/7/", headers=BROWSER)
    assert_tracked("/product/7/")
    assert_excluded("method", 3)


def test_files_are_no_pages_unless_they_are_html(stack: Callable[..., None], client: Client) -> None:
    for name in ("report.pdf", "photo.jpeg", "data.csv", "old.html"):
        answer = cast(StreamingHttpResponse, client.get(f"/files/{name}", headers=BROWSER))
        assert b"".join(cast(Any, answer.streaming_content)) == FILE.read_bytes()
        answer.close()
    assert_tracked("/files/old.html")
    assert_excluded("content_type", 3)


async def test_of_htmx_whole_pages_count_and_parts_do_not(
    stack: Callable[..., None], async_client: AsyncClient
) -> None:
    htmx = BROWSER | {"hx-request": "true", "sec-fetch-dest": "empty"}
    await async_client.get("/product/1/", headers=BROWSER)
    await async_client.get("/product/2/", headers=htmx)
    await async_client.get("/product/3/", headers=htmx | {"hx-boosted": "true"})
    await async_client.get("/product/4/", headers=htmx | {"hx-history-restore-request": "true"})
    for number, views in ((1, 1), (2, 0), (3, 1), (4, 0)):
        assert_tracked(f"/product/{number}/", views)
    assert_excluded("partial", 2)


# --- addresses ---


async def test_the_way_to_the_slash_is_no_view(stack: Callable[..., None], async_client: AsyncClient) -> None:
    answer = await async_client.get("/product/1", headers=BROWSER, follow=True)
    assert answer.redirect_chain == [("/product/1/", 301)]
    assert_tracked("/product/1/")
    assert_tracked("/product/1", views=0)
    assert_excluded("status")


@pytest.mark.parametrize("script_name", [None, "/shop"], ids=["by the server", "by the settings"])
async def test_a_site_under_a_prefix_counts_the_paths_that_visitors_see(
    stack: Callable[..., None], settings: Settings, script_name: str | None
) -> None:
    settings.FORCE_SCRIPT_NAME = script_name
    app = get_asgi_application()
    try:
        assert await ask(app, "/shop/product/1/", root_path="/shop") == 200
    finally:
        set_script_prefix("/")
    assert_tracked("/shop/product/1/")


@pytest.mark.fault
def test_under_a_prefix_a_server_counts_and_the_dashboard_stays_there(
    app_server: Sites, redis_server: RedisServer
) -> None:
    site = app_server(redis=redis_server, tracking=OFTEN, start=False)
    # As behind a proxy that takes the prefix away.
    site.arguments += ["--root-path", "/shop"]
    site.start()
    assert site.get("/page/1/").status == 200
    assert site.get("/cabinet/tracking/").headers["location"].startswith("/shop/admin/login/?next=/shop/cabinet/")
    site.stop()
    assert site.views() == {"/shop/page/1/": 1}


@pytest.mark.fault
def test_two_sites_share_a_redis_and_no_view(app_server: Sites, redis_server: RedisServer) -> None:
    shop = app_server(redis=redis_server, tracking=OFTEN | {"key_prefix": "shop"})
    blog = app_server(redis=redis_server, tracking=OFTEN | {"key_prefix": "blog"})
    with Load(shop.port, pages(20), rate=100) as one, Load(blog.port, pages(20, seed=2), rate=60) as two:
        one.wait(100)
        two.wait(60)
        sold, read = one.stop(), two.stop()
    assert_all_counted(shop, sold)
    assert_all_counted(blog, read)
