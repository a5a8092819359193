"""The route of a path that nobody has resolved, and what becomes of paths without one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, include, path, re_path, resolve
from django.urls.converters import StringConverter, get_converters
from django.utils.functional import lazy
from django.utils.translation import get_language
from pytest_django import Settings

from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.fields import Counts, counter
from codex_tracking.hits import routes
from codex_tracking.hits.capture import answered
from codex_tracking.hits.routes import below_script_name, route_of, takes_anything
from codex_tracking.settings import get_tracking_settings
from tests.kit.pipeline import request_for
from tests.site import views

SECRETS = frozenset({"token", "uidb64"})
TOKEN = "s3cr3t-t0k3n-0123456789"


@pytest.fixture
def urls(settings: Settings) -> Iterator[ModuleType]:
    """Make the site's addresses translated ones, and yield their module."""
    module = ModuleType("translated_urls")
    module.urlpatterns = [  # type: ignore[attr-defined]
        *i18n_patterns(path("verify/<token>/", views.reset), path("", views.home)),
        path("plain/<token>/", views.reset),
    ]
    sys.modules[module.__name__] = module
    settings.ROOT_URLCONF = module.__name__
    settings.LANGUAGES = [("en", "English"), ("de", "German")]
    routes._known.clear()
    yield module
    del sys.modules[module.__name__]


def counts(request: HttpRequest, status: int = 200) -> Counts:
    """Return the counters of a request that was answered before Django looked for its route."""
    aggregator = Aggregator(get_tracking_settings(), minutes=False)
    hit = answered(request, HttpResponse(status=status), get_tracking_settings())
    assert hit is not None
    aggregator.add(hit)
    (day,) = aggregator.counted().values()
    return day.counts


@pytest.mark.usefixtures("urls")
@pytest.mark.parametrize("language", ["en", "en-us"])
@pytest.mark.parametrize("prefix", ["/de", "/en", "/plain"])
def test_a_route_is_found_under_each_language(settings: Settings, language: str, prefix: str) -> None:
    settings.LANGUAGE_CODE = language
    before = get_language()
    match = route_of(f"{prefix}{'' if prefix == '/plain' else '/verify'}/{TOKEN}/", None, SECRETS)
    assert match is not None
    assert match.kwargs == {"token": TOKEN}
    assert get_language() == before


@pytest.mark.usefixtures("urls")
@pytest.mark.parametrize("url", [f"/de/verify/{TOKEN}/", "/de/verify/MQ/", f"/plain/{TOKEN}/"])
def test_an_early_answer_is_counted_by_its_route(url: str) -> None:
    found = counts(request_for(url))
    assert found[counter("path", url.rsplit("/", 2)[0] + "/<token>/")] == 1
    assert [name for name in found if name.startswith("route:") and "<token>" in name]


def test_the_urlconf_of_the_request_is_the_one_to_look_in(urls: ModuleType, settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.site.urls"
    request = request_for("/plain/MQ/")
    request.urlconf = urls.__name__
    assert counter("path", "/plain/<token>/") in counts(request)


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_path_without_a_route_is_stored_without_its_token(status: int) -> None:
    found = counts(request_for(f"/nowhere/{TOKEN}/"), status)
    assert TOKEN not in str(found)
    assert "/nowhere/<token>/" in str(found)


@pytest.mark.parametrize("status", [404, 500])
def test_an_error_of_an_early_answer_hides_what_its_route_names(status: int) -> None:
    found = counts(request_for("/reset/MQ/abc-123/"), status)
    assert counter("error", f"{status} /reset/<uidb64>/<token>/") in found


def test_the_front_page_has_a_route() -> None:
    found = counts(request_for("/"))
    assert (found[counter("route", "/")], found[counter("view", "home")]) == (1, 1)


def test_an_early_answer_for_our_own_pages_counts_nothing() -> None:
    aggregator = Aggregator(get_tracking_settings(), minutes=False)
    hit = answered(request_for("/cabinet/tracking/"), HttpResponse(), get_tracking_settings())
    assert hit is not None
    aggregator.add(hit)
    assert not any(aggregator.counted().values())


def test_the_script_name_is_no_part_of_the_path_to_look_for(settings: Settings) -> None:
    settings.FORCE_SCRIPT_NAME = "/app"
    assert below_script_name("/app/reset/MQ/x/") == "/reset/MQ/x/"
    assert below_script_name("/app") == "/"
    assert below_script_name("/apple/") == "/apple/"


def test_no_secret_stays_in_memory() -> None:
    routes._known.clear()
    for url in (f"/nowhere/{TOKEN}/", "/reset/MQ/abc/", "/page/1/"):
        route_of(url, None, SECRETS)
    assert [key[0] for key in routes._known] == ["/page/1/"]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MOST_KEPT", 3)
    for number in range(10):
        route_of(f"/page/{number}/", None, SECRETS)
        assert len(routes._known) <= 3
    route_of("/" + "a" * 300, None, SECRETS)
    assert not [key for key in routes._known if len(key[0]) > 250]


def test_translated_routes_are_found_whatever_language_a_cookie_chose(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"en": "reset/", "de": "neu/"}
    route = lazy(lambda: words.get(get_language() or "en", "reset/"), str)()
    translated = ModuleType("translated_routes")
    translated.urlpatterns = [path("", include([path(route, include([path("<token>/", views.reset)]))]))]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, translated.__name__, translated)
    settings.ROOT_URLCONF = translated.__name__
    found = [route_of(f"/{word}/MQ/", None, SECRETS) is not None for word in ("reset", "neu", "other")]
    assert found == [True, True, False]


def test_a_converter_that_fails_makes_a_path_without_a_route(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.urls.converters.IntConverter.to_python", lambda self, value: 1 // 0)
    routes._known.clear()
    assert route_of("/page/77/", None, SECRETS) is None
    routes._known.clear()


def test_a_remembered_route_does_not_keep_the_patterns_that_were_tried() -> None:
    routes._known.clear()
    match = route_of("/page/5/", None, SECRETS)
    assert match is not None
    assert (match.view_name, match.tried) == ("page", None)


class RestConverter(StringConverter):
    """A converter of a project for the rest of a path."""

    regex = r"[-\w]+(?:/[-\w]+)*/?"


@pytest.fixture
def rest(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let routes have ``<rest:...>``."""
    monkeypatch.setattr("django.urls.converters.REGISTERED_CONVERTERS", {"rest": RestConverter()})
    get_converters.cache_clear()  # type: ignore[attr-defined]
    yield
    get_converters.cache_clear()  # type: ignore[attr-defined]


CATCHING = [
    "<path:rest>",
    "<rest:rest>",
    r"^(?P<rest>.*)$",
    # Wagtail's, with and without a slash at the end, and django CMS's.
    r"^((?:[\w\-]+/)*)$",
    r"^([\w\-/]*)$",
    r"^(?P<slug>[0-9A-Za-z-_.//]+)/$",
    r"^(?P<rest>[^?]+)$",
    r"^(?P<rest>\S+)$",
    r"^app(?P<rest>(?:/[\w-]+)+)/$",
]


@pytest.mark.usefixtures("rest")
@pytest.mark.parametrize("route", CATCHING)
@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("early", [True, False])
def test_a_route_that_takes_any_path_does_not_store_a_token(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, route: str, status: int, early: bool
) -> None:
    catching = ModuleType("catching_urls")
    made: URLPattern = (re_path if route.startswith("^") else path)(route, views.article)
    catching.urlpatterns = [made]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, catching.__name__, catching)
    settings.ROOT_URLCONF = catching.__name__
    request = request_for(f"/app/confirm/{TOKEN}/")
    if not early:
        request.resolver_match = resolve(request.path_info)
    found = counts(request, status)
    assert TOKEN not in str(found)
    assert "/app/confirm/<token>/" in str(found)
    if status == 200:
        assert counter("path", "/blog/2026/a-day-in-march/") in counts(request_for("/blog/2026/a-day-in-march/"))


@pytest.mark.parametrize(
    "route",
    [
        "goods/<str:id>/",
        "goods/<slug:id>/<uuid:part>/",
        r"^goods/(?P<id>[^/]+)/$",
        r"^goods/(?P<id>[-\w]+)\.html$",
        r"^goods/(?P<id>[^/.]{3,40})/(?:page/(?P<page>[0-9]+)/)?$",
        r"^v1\.*/(?P<id>\w+)/$",
    ],
)
def test_a_route_that_takes_one_part_of_a_path_keeps_what_looks_like_a_token(route: str) -> None:
    assert not takes_anything(route)


def test_no_route_is_looked_for_a_path_that_is_stored_as_long() -> None:
    assert route_of(f"/articles/{'a' * 2_000}/", None, SECRETS) is not None
    assert route_of(f"/articles/{'a' * 2_100}/", None, SECRETS) is None


def test_a_long_path_is_not_remembered() -> None:
    routes._known.clear()
    assert route_of(f"/articles/{'a-' * 150}/", None, SECRETS) is not None
    assert not routes._known


def test_what_is_remembered_of_one_urlconf_is_not_used_for_another(urls: ModuleType, settings: Settings) -> None:
    path_info = "/plain/MQ/"
    assert route_of(path_info, None, frozenset()) is not None
    assert route_of(path_info, "tests.site.urls", frozenset()) is None
    assert route_of(path_info, urls, frozenset()) is not None
    settings.ROOT_URLCONF = "tests.site.urls"
    assert route_of(path_info, None, frozenset()) is None
