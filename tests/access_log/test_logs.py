"""Logs of many servers in ``logs/``, each with its right figures: formats, clients, hosts, order and bookkeeping."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from codex_tracking.models import Breakdown, DayTotals, ImportedLog, PageView

pytestmark = pytest.mark.django_db(transaction=True)

LOGS = Path(__file__).parent / "logs"


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["site.example"]
    settings.TIME_ZONE = "UTC"
    settings.CODEX_TRACKING = {}


@dataclass(frozen=True)
class Figures:
    """The figures of all days together."""

    views: dict[str, int]
    visitors: int | None = None
    visits: int | None = None
    engaged: int | None = None
    seconds: int | None = None
    excluded: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)


def run(*names: str | Path, **options: Any) -> str:
    """Import logs by their names in ``logs/``, and return what the command writes."""
    out = StringIO()
    call_command("import_access_log", *(str(LOGS / name) for name in names), stdout=out, stderr=out, **options)
    return out.getvalue()


def values(dimension: str, figure: str = "views") -> dict[str, int]:
    """Return one dimension's values, all days together."""
    sums: Counter[str] = Counter()
    for value, n in Breakdown.objects.filter(dimension=dimension).values_list("value", figure):
        sums[value] += n
    return {value: n for value, n in sums.items() if n}


def views() -> dict[str, int]:
    """Return the views of each page, all days together."""
    sums: Counter[str] = Counter()
    for path, n in PageView.objects.values_list("path", "views"):
        sums[path] += n
    return dict(sums)


def assert_figures(right: Figures) -> None:
    assert views() == right.views
    days = list(DayTotals.objects.all())
    for name in ("visitors", "visits", "engaged", "seconds"):
        if (n := getattr(right, name)) is not None:
            assert (name, sum(getattr(day, name) for day in days)) == (name, n)
    assert values("excluded") == right.excluded
    assert values("error") == right.errors
    assert values("utm_source", "visits") == right.sources


SCENARIO = Figures(
    {"/": 3, "/pricing/": 1},
    visitors=3,
    visits=3,
    engaged=1,
    seconds=60,
    excluded={"bot": 1, "content_type": 1, "method": 1, "status": 1},
    errors={"404 /missing/": 1},
    sources={"news": 1},
)
THREE = Figures({"/": 3}, visitors=3, visits=3)


@pytest.mark.parametrize(
    "name",
    [
        "alb.log",
        "caddy-nano.jsonl",
        "cloudflare.jsonl",
        "cloudfront.jsonl",
        "cloudfront.log",
        "docker.jsonl",
        "elastic-nginx.jsonl",
        "envoy.jsonl",
        "fluent-bit.jsonl",
        "iis.log",
        "nothing.log.bz2",
        "vector-nginx.jsonl",
    ],
)
def test_eight_lines_give_the_same_figures_in_each_format(name: str) -> None:
    run(name)
    assert_figures(SCENARIO)


@pytest.mark.parametrize(
    "name",
    [
        "vhost-without-port.log",
        "kubernetes-cri.log",
        "address-with-port.log",
        "address-list.log",
        "host-names.log",
    ],
)
def test_clients_are_told_apart_however_they_are_written(name: str) -> None:
    run(name)
    assert_figures(THREE)


def test_quoted_upstream_is_no_forwarded_address(settings: Any) -> None:
    settings.CODEX_TRACKING = {"trusted_proxies": 1}
    run("quoted-upstream.log")
    assert_figures(THREE)


def test_lines_of_other_hosts_are_left_out_until_their_host_is_named() -> None:
    said = run("two-vhosts.log")
    assert views() == {"/": 1}
    assert "2 lines left out, because they are of other hosts" in said
    assert "other.example" in said
    run("two-vhosts.log", host=["other.example"])
    assert views() == {"/": 1, "/shop/": 1}


def test_pieces_in_the_wrong_order_give_the_visits_of_a_sorted_log() -> None:
    run("out-of-order.log")
    right = {f"/{name}/": 1 for name in "abcd"}
    assert_figures(Figures(right, visitors=1, visits=2, engaged=2, seconds=180))


def test_logs_of_two_servers_give_the_visits_of_one_log() -> None:
    run("server-1.log", "server-2.log")
    assert_figures(Figures({"/a/": 3, "/b/": 3}, visits=3, engaged=3, seconds=1_800))


def test_lines_that_were_left_out_can_be_imported_later() -> None:
    DayTotals.objects.create(date="2026-05-01", views=10, flushed_at=datetime(2026, 5, 2, tzinfo=UTC))
    assert "3 lines left out" in run("left-out.log")
    assert not views()
    run("left-out.log", overlap=True)
    assert views() == {"/a/": 1, "/b/": 1, "/c/": 1}
    run("left-out.log", overlap=True)
    assert sum(views().values()) == 3


def test_log_that_was_changed_counts_only_its_new_lines(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    shutil.copy(LOGS / "edited-before.log", log)
    run(log)
    assert sum(views().values()) == 40
    shutil.copy(LOGS / "edited-after.log", log)
    run(log)
    assert sum(views().values()) == 50


def test_headers_in_the_log_decide_as_they_do_live() -> None:
    run("caddy-headers.jsonl")
    assert_figures(Figures({"/": 2}, visitors=1, excluded={"prefetch": 1, "partial": 3}))


def test_method_that_a_shape_leaves_out_is_get() -> None:
    run("matomo-nginx.jsonl")
    excluded = {"bot": 1, "content_type": 1, "status": 2}
    assert_figures(Figures(SCENARIO.views, 3, 3, excluded=excluded, errors=SCENARIO.errors, sources=SCENARIO.sources))


def test_log_without_user_agents_says_so() -> None:
    said = run("traefik-no-headers.jsonl")
    assert "No line names a user agent, so all look like bots" in said
    assert "accesslog.fields.headers.names.User-Agent=keep" in said


def test_common_format_is_counted_with_a_warning() -> None:
    said = run("common.log")
    assert "8 lines are in a format without user agents, so bots cannot be told from people" in said
    assert views() == {"/": 4, "/pricing/": 1}


def test_pages_of_the_admin_are_for_staff() -> None:
    run("django-admin.log")
    assert_figures(Figures({"/": 1, "/admin/login/": 1}, excluded={"staff": 3}))


def test_downloads_are_no_pages() -> None:
    run("downloads.log")
    assert_figures(Figures({"/": 1}, excluded={"content_type": 5}))


def test_unfinished_last_line_is_mentioned() -> None:
    said = run("unfinished-last-line.log")
    assert views() == {"/a/": 1}
    assert "The last line (145 bytes) has no end" in said


def test_truncated_gzip_gives_all_whole_lines() -> None:
    with pytest.raises(CommandError, match="compressed with gzip, is damaged: it ends too early"):
        run("truncated.log.gz")
    assert sum(views().values()) == 294


def test_hypercorns_log_is_read() -> None:
    run("hypercorn.log")
    assert_figures(Figures({"/": 1, "/pricing/": 1}, visitors=2))
    assert ImportedLog.objects.get().lines == 2
