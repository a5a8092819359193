"""Lines of a web server's access log, taken apart: nginx's and Apache's combined format, and JSON lines.

Formats: https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#examples (``combined``, ``vhost_combined``), nginx's
``combined`` and its default ``main``, and JSON under the names that nginx, Caddy and Traefik give the fields.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, NamedTuple

EARLIEST_YEAR = 2000
"""As ``web.query.EARLIEST``: no period of the dashboard begins before it."""
EARLIEST = datetime(EARLIEST_YEAR, 1, 1, tzinfo=UTC).timestamp()
LINE_LIMIT = 32_768
"""Characters of a line that are read; a longer one is no line of an access log."""

QUOTED = r'"((?:[^"\\]|\\.)*)"'
COMBINED = re.compile(
    # A virtual host comes with its port, as Apache's vhost_combined writes it.
    r"(?:([\w.-]+):\d+ )?(\S+) \S+ .*?\[([^\]]{1,20}) ([+-]\d{4})\] "
    rf"{QUOTED} (\d{{3}}) (?:\d+|-) {QUOTED} {QUOTED}(?: {QUOTED})?(?= |$)"
)
REQUEST = re.compile(r"([A-Z]{1,20}) (\S*?)(?: HTTP/[\d.]+)?", re.ASCII)
ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.))")
SIGNS = {"n": "\n", "r": "\r", "t": "\t", "v": "\v", "b": "\b"}
MONTHS = {"JanFebMarAprMayJunJulAugSepOctNovDec"[at : at + 3]: at // 3 + 1 for at in range(0, 36, 3)}
HOUR = re.compile(r"(\d{1,2})/([A-Z][a-z]{2})/(\d{4}):(\d\d)", re.ASCII)

NAMES: dict[str, tuple[str, ...]] = {
    "time": ("time_iso8601", "@timestamp", "timestamp", "time", "time_local", "StartUTC", "msec", "ts"),
    "address": ("remote_addr", "remote_ip", "client_ip", "clientip", "ClientHost", "ip"),
    "request": ("request",),
    "method": ("request_method", "method", "RequestMethod"),
    "target": ("request_uri", "uri", "RequestPath", "url", "path"),
    "query": ("args", "query_string", "query"),
    "status": ("status", "status_code", "DownstreamStatus"),
    "referrer": ("http_referer", "referer", "referrer", "Referer", "request_Referer"),
    "agent": ("http_user_agent", "user_agent", "agent", "User-Agent", "request_User-Agent"),
    "host": ("http_host", "host", "RequestHost", "server_name"),
    "content_type": ("sent_http_content_type", "content_type", "downstream_Content-Type"),
    "forwarded": ("http_x_forwarded_for", "x_forwarded_for", "X-Forwarded-For", "request_X-Forwarded-For"),
    "language": ("http_accept_language", "accept_language", "Accept-Language", "request_Accept-Language"),
}
"""What a field of a JSON line may be called."""

ASSETS = re.compile(
    r"\.(?:css|m?js|map|json|xml|rss|atom|txt|csv|ico|png|jpe?g|gif|svg|webp|avif|bmp|woff2?|ttf|otf|eot|mp[34]|m4[av]"
    r"|webm|og[gv]|wav|flac|m3u8|ts|pdf|zip|gz|tgz|bz2|xz|7z|rar|tar|exe|dmg|apk|iso|docx?|xlsx?|pptx?|epub|wasm"
    r"|webmanifest|vcf|ics)",
    re.IGNORECASE,
)
"""Ends of paths that are files and not pages, where the log does not tell the content type."""


class Line(NamedTuple):
    """One request as the log has it; empty strings for what it does not have."""

    at: float
    """Seconds since the epoch."""
    address: str
    method: str
    target: str
    """Path and query string, as sent."""
    status: int
    referrer: str
    agent: str
    host: str = ""
    content_type: str = ""
    forwarded: str = ""
    language: str = ""


def parse(line: str) -> Line:
    """Return a line taken apart; JSON when it begins with a brace.

    Raises:
        ValueError: it is no such line; the message says why, and holds nothing of the line.
    """
    if len(line) > LINE_LIMIT:
        raise ValueError(f"longer than {LINE_LIMIT} characters")
    line = line.strip()
    return _from_json(line) if line.startswith("{") else _from_text(line)


def is_page(line: Line, path: str) -> bool:
    """Say whether a line's answer was a page, as far as the log tells: by content type, else by the path's end."""
    if line.content_type:
        return line.content_type.lstrip().lower().startswith(("text/html", "application/xhtml+xml"))
    name, dot, ending = path.rpartition("/")[2].rpartition(".")
    return not (dot and name and ASSETS.fullmatch(dot + ending))


# --- combined ---


def _from_text(line: str) -> Line:
    found = COMBINED.match(line)
    if found is None:
        raise ValueError("not in the combined format")
    host, address, moment, zone, request, status, referrer, agent, forwarded = found.groups()
    method, target = _request(_unescaped(request))
    hops = "" if forwarded in (None, "-") else forwarded
    return Line(
        _local(moment, zone),
        address,
        method,
        target,
        int(status),
        "" if referrer == "-" else _unescaped(referrer),
        "" if agent == "-" else _unescaped(agent),
        host or "",
        forwarded=hops,
    )


def _request(text: str) -> tuple[str, str]:
    found = REQUEST.fullmatch(text)
    if found is None:
        # What scanners send; the server answered 400.
        raise ValueError("no HTTP request")
    return found[1], found[2]


def _unescaped(text: str) -> str:
    r"""Undo ``\"``, ``\\`` and ``\xC3\xA4``, with which servers keep a line a line."""
    if "\\" not in text:
        return text
    raw = ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else SIGNS.get(found[2], found[2]), text)
    try:
        return raw.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return raw


def _local(moment: str, zone: str) -> float:
    """Return a time such as ``10/Oct/2026:13:55:36`` in seconds since the epoch."""
    hour, rest = moment[:-6], moment[-6:]
    minutes, seconds = rest[1:3], rest[4:6]
    if rest[:1] != ":" or rest[3:4] != ":" or not (minutes + seconds).isdecimal() or minutes > "59" or seconds > "60":
        raise ValueError("not a time of the form 10/Oct/2026:13:55:36 +0200")
    return _hour(hour, zone) + int(minutes) * 60 + int(seconds)


@lru_cache(maxsize=256)
def _hour(text: str, zone: str) -> float:
    found = HOUR.fullmatch(text)
    if found is None or found[2] not in MONTHS:
        raise ValueError("not a time of the form 10/Oct/2026:13:55:36 +0200")
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:]))
    day, year, hour = int(found[1]), int(found[3]), int(found[4])
    try:
        begin = datetime(year, MONTHS[found[2]], day, hour, tzinfo=timezone(-offset if zone[0] == "-" else offset))
    except ValueError:
        raise ValueError("not a time that exists") from None
    if year < EARLIEST_YEAR:
        raise ValueError("not a time that exists")
    return begin.timestamp()


# --- JSON lines ---


def _from_json(line: str) -> Line:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    fields = _flat(raw)
    method, target = _text(fields, "method"), _text(fields, "target")
    if not method:
        method, target = _request(_text(fields, "request"))
    query = _text(fields, "query")
    if query and "?" not in target:
        target = f"{target}?{query}"
    status = _field(fields, "status")
    if isinstance(status, bool) or not str(status).isdecimal() or not 100 <= int(str(status)[:9]) <= 999:
        raise ValueError("no status")
    return Line(
        _moment(_field(fields, "time")),
        _text(fields, "address"),
        method,
        target,
        int(str(status)),
        *(_text(fields, name) for name in ("referrer", "agent", "host", "content_type", "forwarded", "language")),
    )


def _flat(raw: dict[str, Any]) -> dict[str, Any]:
    """Return one level of fields: Caddy nests the request, and in it the headers, each a list."""
    request = raw.get("request")
    if not isinstance(request, dict):
        return raw
    headers, answer = request.get("headers"), raw.get("resp_headers")
    lists = headers if isinstance(headers, dict) else {}
    kinds = answer.get("Content-Type") if isinstance(answer, dict) else None
    return {**lists, **request, "content_type": kinds, **{name: raw[name] for name in raw if name != "request"}}


def _field(fields: dict[str, Any], meaning: str) -> Any:
    for name in NAMES[meaning]:
        value = fields.get(name)
        if isinstance(value, list):
            value = value[0] if value else None
        if value is not None and not isinstance(value, dict):
            return value
    return None


def _text(fields: dict[str, Any], meaning: str) -> str:
    value = _field(fields, meaning)
    return "" if value is None or value == "-" else str(value)


def _moment(value: Any) -> float:
    """Return a time in seconds since the epoch: ISO 8601, seconds, milliseconds, or the combined format's."""
    text = str(value)
    try:
        seconds = float(text)
    except ValueError:
        seconds = _written(text)
    if seconds > 1e11:
        seconds /= 1000
    if not EARLIEST < seconds < 1e11:
        raise ValueError("no time")
    return seconds


def _written(text: str) -> float:
    moment, space, zone = text.partition(" ")
    if space and re.fullmatch(r"[+-]\d{4}", zone, re.ASCII):
        return _local(moment, zone)
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("no time") from None
