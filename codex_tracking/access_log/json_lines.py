"""JSON lines, by the names in ``fields``; the shape of a line is worked out once for all lines with the same keys."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

from codex_tracking.access_log.addresses import HOST, address_of
from codex_tracking.access_log.fields import (
    HEADERS,
    MEANINGS,
    NAMES,
    NOT_TAKEN,
    PREFIXES,
    TEXT,
    WEAK_HOST,
    Meaning,
    plain,
)
from codex_tracking.access_log.line import STATUS, Line, line_of, unescaped
from codex_tracking.access_log.w3c import named_line

Path = tuple[str, ...]
"""Keys that lead to a field, the outermost first."""
NESTED_LIMIT = 3
"""Lines within lines: Kubernetes' shippers wrap Docker's JSON, which wraps the server's line."""

# https://techdocs.akamai.com/datastream2/docs/data-set-parameters
AKAMAI: dict[str, Meaning] = {
    "reqTimeSec": "time",
    "start": "time",
    "cliIP": "address",
    "reqMethod": "method",
    "reqPath": "target",
    "queryStr": "query",
    "reqQuery": "query",
    "status": "status",
    "statusCode": "status",
    "reqHost": "host",
    "referer": "referrer",
    "UA": "agent",
    "rspContentType": "content_type",
    "respCT": "content_type",
    "xForwardedFor": "forwarded",
    "accLang": "language",
}
ESCAPES = re.compile(r"((?:\\x[0-9A-Fa-f]{2})+)|\\.")
"""Bytes written as \\xC3\\xA4, or an escape of JSON."""
STATUS_NAMES = frozenset(map(plain, NAMES["status"].split()))


class Shape(NamedTuple):
    """The fields that lines with the same keys may have."""

    fields: tuple[tuple[Meaning, tuple[Path, ...]], ...]
    headers: tuple[tuple[str, str], ...]
    """Key of a header, and its name in ``request.META``."""
    header_objects: tuple[Path, ...]
    texts: tuple[Path, ...]


def parse_json(text: str, parse: Callable[[str], Line], depth: int = 0) -> Line:
    """Return a JSON line taken apart.

    Args:
        text: the line.
        parse: reads a text line that a field of this one holds.
        depth: how many lines this one is within.

    Raises:
        ValueError: it is no request; the message holds nothing of the line.
    """
    try:
        raw = _loaded(text)
    except (ValueError, RecursionError):
        # Without the cause, which quotes the line, and so a visitor.
        raise ValueError("not JSON") from None
    if not isinstance(raw, dict):
        raise ValueError("not JSON")
    return _line_of_object(raw, parse, depth)


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        # Apache, and nginx without escape=json, write bytes in a way that JSON does not know.
        return json.loads(ESCAPES.sub(_escaped_for_json, text))


def _escaped_for_json(found: re.Match[str]) -> str:
    return json.dumps(unescaped(found[1]))[1:-1] if found[1] else found[0]


def _line_of_object(raw: dict[str, Any], parse: Callable[[str], Line], depth: int) -> Line:
    # CloudFront's JSON, in which only W3C's names tell the two parts of the time and the coded user agent.
    if "c-ip" in raw:
        return named_line({name.lower(): str(value) for name, value in raw.items()}, plus=False)
    if "cliIP" in raw:
        return _akamai_line(raw)
    shape = _shape(tuple(raw))
    fields: dict[str, str] = {}
    for meaning, paths in shape.fields:
        for path in paths:
            value = _at(raw, path)
            # Logstash's patterns keep the quotes of the combined format.
            text = "" if value is None else str(value).strip('"')
            if text and text != "-":
                fields[meaning] = text
                break
    # A shipper's own fields may look like a request's, but none of them has a status of HTTP.
    if not STATUS.fullmatch(fields.get("status", "")):
        whole = next((value for path in shape.texts if isinstance(value := _at(raw, path), str) and value), "").strip()
        if whole.startswith("{") and depth < NESTED_LIMIT:
            return parse_json(whole, parse, depth + 1)
        if whole and not whole.startswith("{"):
            return parse(whole)
        if depth < NESTED_LIMIT:
            inner = _line_within(raw, parse, depth + 1)
            if inner is not None:
                return inner
    _tell_host_from_client(raw, fields)
    fields.setdefault("agent", "")
    return line_of(fields)._replace(headers=_headers(raw, shape))


def _akamai_line(raw: dict[str, Any]) -> Line:
    """Return a line of Akamai's DataStream or Cloud Monitor, which code texts as in an address."""
    found: dict[str, str] = {"agent": ""}
    for name, meaning in AKAMAI.items():
        value = str(raw.get(name) or "-")
        if value != "-":
            found[meaning] = value
    agent = found["agent"]
    found["agent"] = unquote(agent if " " in agent or "%20" in agent else agent.replace("+", " "), errors="replace")
    for coded in ("referrer", "content_type", "language"):
        # A referrer's own coding stays.
        if coded in found and "://" not in found[coded]:
            found[coded] = unquote(found[coded], errors="replace")
    if "target" in found and not found["target"].startswith("/"):
        found["target"] = "/" + found["target"]
    return line_of(found)


def _line_within(raw: dict[str, Any], parse: Callable[[str], Line], depth: int) -> Line | None:
    """Return the request that an object within this one has: Azure's properties, jsonPayload of Google Cloud."""
    # The time may stand around it; a status there is that of a message, such as "info".
    around = {
        name: value for name, value in raw.items() if not isinstance(value, dict) and plain(name) not in STATUS_NAMES
    }
    for value in raw.values():
        if isinstance(value, dict):
            try:
                return _line_of_object(around | value, parse, depth)
            except ValueError:
                continue
    return None


def _tell_host_from_client(raw: dict[str, Any], fields: dict[str, str]) -> None:
    """Take ``host`` for the site's host, the client (Apache's name for it) or the machine."""
    if "address" not in fields and address_of(str(raw.get("host", ""))):
        fields["address"], fields["host"] = str(raw["host"]), ""
    host = fields.get("host", "")
    if host and not HOST.fullmatch(host) and not address_of(host) and any(raw.get(name) == host for name in WEAK_HOST):
        fields["host"] = ""


# Caddy leaves out empty fields, so that one log has lines of many shapes.
@lru_cache(maxsize=512)
def _shape(keys: tuple[str, ...]) -> Shape:
    known: dict[str, str] = {}
    for key in keys:
        known.setdefault(plain(key), key)

    def path_of(name: str) -> Path | None:
        """Return the path of a name, whether its dots are in a key (``url.path``) or between keys."""
        if plain(name) in known:
            return (known[plain(name)],)
        outer, dot, rest = name.partition(".")
        return (known[plain(outer)], *rest.split(".")) if dot and plain(outer) in known else None

    def paths_of(names: tuple[str, ...]) -> tuple[Path, ...]:
        return tuple(path for name in names if (path := path_of(name)))

    headers = []
    for key in keys:
        prefix = next((prefix for prefix in PREFIXES if plain(key).startswith(prefix)), "")
        name = "HTTP_" + plain(key).removeprefix(prefix).upper()
        # Traefik's request_Sec-Fetch-Dest is a header, nginx's request_method is none.
        is_header = prefix and (prefix != "request_" or key[len(prefix) :][:1].isupper())
        if is_header and name not in NOT_TAKEN:
            headers.append((key, name))
    fields = tuple((meaning, paths_of(tuple(NAMES[meaning].split()))) for meaning in MEANINGS)
    return Shape(fields, tuple(headers), paths_of(HEADERS), paths_of(TEXT))


def _at(raw: Any, path: Path) -> Any:
    """Return the value at a path, or None; of a list, in which Caddy keeps headers, the first."""
    for key in path:
        if not isinstance(raw, dict):
            return None
        found = raw.get(key)
        # The outermost names were compared when the shape was worked out.
        if found is None and key != path[0]:
            found = next((raw[name] for name in raw if plain(name) == plain(key)), None)
        raw = found
    if isinstance(raw, list):
        raw = raw[0] if raw else None
    return None if isinstance(raw, dict | bool) else raw


def _headers(raw: dict[str, Any], shape: Shape) -> dict[str, str]:
    """Return request headers by their names in ``request.META``."""
    found: dict[str, str] = {}
    for key, name in shape.headers:
        if isinstance(value := raw[key], str) and value not in ("", "-"):
            found[name] = value
    for path in shape.header_objects:
        nested: Any = raw
        for key in path:
            nested = nested.get(key) if isinstance(nested, dict) else None
        for key, value in nested.items() if isinstance(nested, dict) else ():
            name = "HTTP_" + plain(key).upper()
            value = value[0] if isinstance(value, list) and value else value
            if isinstance(value, str) and name not in NOT_TAKEN:
                found[name] = value
    return found
