"""One line of an access log taken apart, and the pieces that several formats share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

from codex_tracking.access_log.addresses import client_address

EARLIEST_YEAR = 2000
"""As ``web.query.EARLIEST``: no period of the dashboard begins before it."""
EARLIEST = datetime(EARLIEST_YEAR, 1, 1, tzinfo=UTC).timestamp()
LINE_LIMIT = 32_768
"""Characters of a line that are read; a longer one is no line of an access log."""

# Unrolled: a fourth of the time that an alternation for each character takes.
QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
REQUEST = re.compile(r"([A-Z]{1,20}) (\S*?)(?: (?:HTTP/)?[\d.]+)?", re.ASCII)
# Almost all requests; the pattern takes three times as long.
COMMON_METHODS = ("GET", "POST", "HEAD")
PROTOCOLS = frozenset({"HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0", "HTTP/2", "HTTP/3"})
STATUS = re.compile(r"[1-9]\d\d", re.ASCII)
ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.))")
SIGNS = {"n": "\n", "r": "\r", "t": "\t", "v": "\v", "b": "\b"}
MONTHS = {"JanFebMarAprMayJunJulAugSepOctNovDec"[at : at + 3]: at // 3 + 1 for at in range(0, 36, 3)}
HOUR = re.compile(r"(\d{1,2})/([A-Z][a-z]{2})/(\d{4}):(\d\d)", re.ASCII)
WALL = re.compile(r"^(\d{4})/(\d\d)/(\d\d) ", re.ASCII)
LOCAL = re.compile(r"\[?(.{1,14}):(\d\d):(\d\d)(?:[.,]\d+)? ([+-]\d{4})\]?", re.ASCII)

ASSETS = re.compile(
    r"\.(?:css|scss|less|m?js|jsx?|tsx?|map|json|jsonl|geojson|xml|xsl|rss|atom|txt|log|md|csv|tsv|ya?ml|toml|sql"
    r"|ico|cur|png|apng|jpe?g|jfif|jp2|jxl|gif|svgz?|webp|avif|heic|heif|bmp|tiff?|psd|ai|eps|raw|dng|cr2|nef|xcf"
    r"|woff2?|ttf|otf|eot|mp[234]|mpe?g|mpa|m2v|m4[apsv]|mov|qt|avi|wmv|wma|asf|asx|flv|f4v|swf|mkv|webm|3g[p2]|vob"
    r"|og[agvx]|opus|wav|aiff?|aac|flac|mid|midi|ra|ram|rm|m3u8?|pls|mpd|srt|vtt|pdf|ps|djvu|epub|mobi|azw3?"
    r"|zip|zst|gz|gzip|tgz|tbz2?|txz|bz2|xz|lz4?|lzma|z|7z|rar|tar|cab|exe|msi|msp|dmg|pkg|apk|aab|ipa|xap|deb|rpm"
    r"|snap|flatpak|appimage|jar|war|ear|whl|egg|gem|crx|xpi|nupkg|iso|img|bin|hqx|sit|sea|torrent|sha\d*|md5|sig|asc"
    r"|do[ct][xm]?|xl[st][xmb]?|pp[tsa][xm]?|pot|vsd|mdb|accdb|one|pub|rtf|od[gbfpst]|ot[pst]|sx[cdgimw]|odb|wpd|wps"
    r"|pages|numbers|key|kml|kmz|gpx|shp|dwg|dxf|stl|blend|parquet|sqlite3?|db|wasm|webmanifest|manifest|vcf|ics|phps"
    r"|pem|crt|cer|der|pfx|p12|arj|patch|diff|java|class|c|h|cpp|py|rb|sh|bat|ps1)",
    re.IGNORECASE,
)
"""Ends of paths that are files and not pages, where the log does not tell the content type."""


NO_HEADERS: Mapping[str, str] = {}


class Line(NamedTuple):
    """One request of a log; empty strings for fields that it does not have."""

    at: float
    """Seconds since the epoch."""
    address: str
    method: str
    target: str
    """Path and query string, as sent."""
    status: int
    referrer: str
    agent: str | None
    """None when the log's format has no user agent, so that bots cannot be told from people."""
    host: str = ""
    content_type: str = ""
    forwarded: str = ""
    language: str = ""
    headers: Mapping[str, str] = NO_HEADERS
    """Other request headers, by the names of ``request.META``."""


def line_of(fields: Mapping[str, str]) -> Line:
    """Return a line of fields by their meaning, as ``fields.MEANINGS`` names them.

    Raises:
        ValueError: a field that every line needs is missing or wrong; the message holds nothing of the line.
    """
    get = fields.get
    method, target = get("method", ""), get("target", "")
    if not target:
        request = unescaped(get("request", ""))
        # Logstash and Apache's JSON have the target alone there, and the method by itself.
        method, target = (method, request) if request.startswith(("/", "http")) else request_of(request)
    query = get("query", "")
    if query and "?" not in target:
        target = f"{target}?{query.removeprefix('?')}"
    return Line(
        moment(get("time", "")),
        client_address(get("address", "")),
        # Some shapes leave it out, and then a page view's is the likely one.
        method or "GET",
        target,
        status_of(get("status", "")),
        get("referrer", ""),
        get("agent"),
        get("host", ""),
        get("content_type", ""),
        get("forwarded", ""),
        get("language", ""),
    )


def is_page(line: Line, path: str) -> bool:
    """Return whether a line's answer was a page, as far as the log tells: by content type, else by the path's end."""
    if line.content_type:
        return line.content_type.lstrip().lower().startswith(("text/html", "application/xhtml+xml"))
    if "." not in path:
        return True
    name, dot, ending = path.rpartition("/")[2].rpartition(".")
    return not (dot and name and ASSETS.fullmatch(dot + ending))


def request_of(text: str) -> tuple[str, str]:
    """Return method and target of a request line such as ``GET /a/ HTTP/1.1``.

    Raises:
        ValueError: it is none; the server answered 400 to what scanners send.
    """
    parts = text.split(" ")
    if len(parts) == 3 and parts[2] in PROTOCOLS and parts[0] in COMMON_METHODS:
        return parts[0], parts[1]
    found = REQUEST.fullmatch(text)
    if found is None:
        raise ValueError("no HTTP request")
    return found[1], found[2]


def status_of(text: str) -> int:
    """Return a status.

    Raises:
        ValueError: it is none.
    """
    if not STATUS.fullmatch(text):
        raise ValueError("no status")
    return int(text)


def unescaped(text: str) -> str:
    r"""Undo ``\"``, ``\\`` and ``\xC3\xA4``, with which servers keep a line a line."""
    if "\\" not in text:
        return text
    raw = ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else SIGNS.get(found[2], found[2]), text)
    try:
        return raw.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return raw


# --- times ---


def local_time(hour: str, minutes: str, seconds: str, zone: str) -> float:
    """Return a time such as ``10/Oct/2026:13``, ``55``, ``36``, ``+0200`` in seconds since the epoch."""
    # Two digits compare as text as they do as numbers; 60 is a leap second.
    if minutes > "59" or seconds > "60":
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


def moment(text: str) -> float:
    """Return a time in seconds since the epoch: ISO 8601, the combined format's, or a number of seconds or less.

    Raises:
        ValueError: it is none.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = _written(text)
    # Milliseconds, microseconds and nanoseconds, as Caddy and Cloudflare may write them.
    while 1e11 < seconds < 1e20:
        seconds /= 1000
    if not EARLIEST < seconds < 1e11:
        raise ValueError("no time")
    return seconds


def _written(text: str) -> float:
    found = LOCAL.fullmatch(text)
    if found:
        return local_time(*found.groups())
    # Caddy's time_format wall has slashes, and UTC unless told otherwise.
    text = WALL.sub(r"\1-\2-\3 ", text)
    # Nanoseconds, which Python 3.11 reads as an error above six digits in some forms.
    text = re.sub(r"(\.\d{6})\d+", r"\1", text)
    try:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("no time") from None
