"""``manage.py tracking_explain URL``: the verdict on a request, its reason and its counters."""

from __future__ import annotations

from argparse import ArgumentParser
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import get_resolver

from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.fields import split
from codex_tracking.hits.bots import bot, bot_category
from codex_tracking.hits.capture import answered
from codex_tracking.hits.hit import Hit
from codex_tracking.hits.routes import below_script_name, route_of
from codex_tracking.hits.rules import opted_out
from codex_tracking.hits.text import normalise
from codex_tracking.hits.visitors import client_address
from codex_tracking.management.failures import escaping
from codex_tracking.settings import TrackingSettings, get_tracking_settings

BROWSER_HEADERS = {
    "User-Agent": (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/143.0.0.0 Safari/537.36"
    ),
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.9",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
}
"""The headers that a browser sends with a navigation."""

# RFC 5737 keeps 203.0.113.0/24 for examples, so it is nobody's address.
ADDRESS = "203.0.113.7"

REASONS = {
    "method": "only GET requests are page views",
    "status": "the answer's status is neither 200 nor 304 (with track_redirects: 301 and 302)",
    "content_type": "the answer is no HTML page",
    "prefix": "the path begins like one of skip_prefixes",
    "prefetch": "the browser asked ahead of time (Sec-Purpose and the like); nobody has opened the page",
    "partial": "a script asked for a part of a page (HTMX, Turbo, XMLHttpRequest, or Sec-Fetch-Dest)",
    "bot": "the user agent is a program's",
    "staff": "the user is a staff member, and track_staff is off",
    "anonymous": "the visitor is not logged in, and track_anonymous is off",
    "disabled": "CODEX_TRACKING['enabled'] is off",
    "own": "the dashboard and its figures are no page of the site",
}


class Command(BaseCommand):
    """Put one request together and classify it; the view is not run."""

    help = (
        "Say whether and why a request for URL would count as a page view, and what it would be counted under. The "
        "view is not run: --status and --content-type say what it answers."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", help="A path or a whole address, with its query string.")
        parser.add_argument(
            "--header",
            action="append",
            default=[],
            metavar="'NAME: VALUE'",
            help="A request header; an empty value drops it.",
        )
        parser.add_argument("--method", default="GET")
        parser.add_argument("--status", type=int, default=200, help="What the view answers (200).")
        parser.add_argument("--content-type", default="text/html; charset=utf-8", help="Of the answer (text/html).")
        parser.add_argument("--address", default=ADDRESS, help=f"REMOTE_ADDR ({ADDRESS}).")
        parser.add_argument(
            "--urlconf", metavar="MODULE", help="What a middleware sets as request.urlconf; ROOT_URLCONF without it."
        )
        parser.add_argument("--user", choices=("anonymous", "member", "staff"), default="anonymous")

    @escaping
    def handle(self, *args: Any, **options: Any) -> None:
        settings = get_tracking_settings()
        request = request_of(options)
        response = HttpResponse(status=options["status"], content_type=options["content_type"])
        raw = answered(request, response, settings)
        hit = Hit.of(raw) if raw is not None else None
        self.stdout.write("\n".join(explanation(request, hit, settings)))


def request_of(options: dict[str, Any]) -> HttpRequest:
    """Return the request that the options describe.

    Raises:
        CommandError: an option's value is none that a request can have.
    """
    try:
        parts = urlsplit(options["url"])
    except ValueError as error:
        raise CommandError(f"URL cannot be read: {error}.") from None
    check_options(options)
    headers = {"Host": parts.netloc or "localhost", **BROWSER_HEADERS}
    for text in options["header"]:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise CommandError(f"--header must be 'Name: value', not {text!r}.")
        # Names of headers ignore case (RFC 9110, section 5.1), so a given one replaces the browser's.
        known = next((known for known in headers if known.lower() == name.strip().lower()), name.strip())
        headers[known] = value.strip()
    sent = {name: value for name, value in headers.items() if value}
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = RequestFactory(headers=sent, REMOTE_ADDR=options["address"]).generic(options["method"].upper(), path)
    request.path_info = below_script_name(request.path_info)
    if options["urlconf"]:
        request.urlconf = options["urlconf"]
    request.resolver_match = route_of(request.path_info, options["urlconf"], get_tracking_settings().secret_names)
    if options["user"] != "anonymous":
        staff = options["user"] == "staff"
        # No row of the project's user model, which may have required fields.
        request.user = SimpleNamespace(pk=1, is_authenticated=True, is_staff=staff)  # type: ignore[assignment]
    return request


def check_options(options: dict[str, Any]) -> None:
    """Check what would otherwise be explained as if it were right.

    Raises:
        CommandError: the status, address or module is none.
    """
    if not 100 <= options["status"] <= 599:
        raise CommandError(f"--status must be 100 to 599, not {options['status']}.")
    # Empty is right: a server on a Unix socket knows no address.
    if options["address"] and not client_address(options["address"], "", 0):
        raise CommandError(f"--address must be an IP address, not {options['address']!r}.")
    if options["urlconf"]:
        try:
            get_resolver(options["urlconf"]).url_patterns  # noqa: B018 (Django imports the module only here)
        except (ImportError, ImproperlyConfigured) as error:
            raise CommandError(f"--urlconf must be a module of URL patterns: {error}") from error


def explanation(request: HttpRequest, hit: Hit | None, settings: TrackingSettings) -> list[str]:
    """Return the verdict and everything that it rests on, in words."""
    crawler = bot(
        request.META.get("HTTP_USER_AGENT", ""),
        settings,
        request.META.get("HTTP_SEC_CH_UA", ""),
        request.META.get("HTTP_SIGNATURE_AGENT", ""),
    )
    reason = reason_of(hit, crawler, settings)
    lines = ["Counts            yes, as a page view" if reason is None else f"Counts            no: {reason}"]
    if reason is not None:
        lines.append(f"Because           {REASONS[reason]}")
    if crawler is not None:
        lines.append(f"Bot               {crawler} ({bot_category(crawler)})")
    match = request.resolver_match
    lines.append(
        f"Route             {(match.route or '(the front page)') if match else 'none: no URL pattern leads there'}"
    )
    if hit is None or hit.kind == "excluded":
        return lines
    if hit.kind == "error" and crawler is None:
        lines.append(f"Error             {hit.name} {normalise(hit.path, hit.secrets)}")
    if reason is not None:
        return lines
    identity = "user" if hit.client.user else "address and user agent"
    who = "opted out: counted without identity" if opted_out(request, settings) else f"told apart by {identity}"
    client = client_address(
        hit.client.address, hit.client.forwarded, settings.trusted_proxies, settings.client_ip_header
    )
    lines += [f"Visitor           {who}", f"Client address    {client or 'unknown'}; never stored"]
    return lines + counted(hit, settings)


def reason_of(hit: Hit | None, crawler: str | None, settings: TrackingSettings) -> str | None:
    """Return why a hit is no page view, or None."""
    if hit is None:
        return "own" if settings.enabled else "disabled"
    if hit.kind == "error":
        return "status"
    if hit.kind == "excluded":
        return hit.name
    return "bot" if crawler is not None else hit.name or None


def counted(hit: Hit, settings: TrackingSettings) -> list[str]:
    """Return the values of a page view's counters, from the aggregator itself."""
    aggregator = Aggregator(settings, minutes=False)
    aggregator.add(hit)
    fields = [split(field) for day in aggregator.counted().values() for field in day.counts]
    values: dict[str, str] = {dimension: value.replace("\t", " from ") for dimension, _, value in fields}
    # Only visits are counted as direct, and a single hit is none yet.
    values.setdefault("channel", "direct")
    # It has a line of its own.
    values.pop("route", None)
    return [f"{name.replace('_', ' ').capitalize():<17} {value}" for name, value in values.items()]
