"""W3C extended log files, whose ``#Fields`` line names the fields, and JSON with these names.

Servers: IIS, CloudFront, NetScaler, Akamai's Log Delivery Service.

Formats: https://www.w3.org/TR/WD-logfile.html,
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from codex_tracking.access_log.addresses import HOST, without_port
from codex_tracking.access_log.fields import Meaning
from codex_tracking.access_log.line import Line, line_of

FIELDS: dict[str, Meaning] = {
    "c-ip": "address",
    "cs-ip": "address",
    "cs-method": "method",
    "cs-uri": "target",
    "cs-uri-stem": "target",
    "cs-uri-query": "query",
    "sc-status": "status",
    "cs(referer)": "referrer",
    "cs(referrer)": "referrer",
    "cs(user-agent)": "agent",
    "cs-host": "host",
    "cs(host)": "host",
    "x-host-header": "host",
    "sc-content-type": "content_type",
    "sc(content-type)": "content_type",
    "cs(content-type)": "content_type",
    "x-forwarded-for": "forwarded",
    "cs(x-forwarded-for)": "forwarded",
    "cs(accept-language)": "language",
}
"""Name of a field, in small letters -> what it tells; of several with one meaning the last has the word."""
SPACED = ("agent", "referrer", "content_type")
"""Fields in which spaces are written in another way."""


QUOTED_VALUE = re.compile(r'"[^"]*"|\S+')
EDGE_TARGET = re.compile(r"/([^/]+)(/.*)")
"""Akamai's targets begin with the host."""


class W3CParser:
    """Reads lines after the last ``#Fields`` line.

    Args:
        fields: names of the fields, as the log's beginning has them.
    """

    def __init__(self, fields: str) -> None:
        self._name_fields(fields)

    def _name_fields(self, fields: str) -> None:
        self._names = fields.lower().replace("\t", " ").split()

    def __call__(self, text: str) -> Line | None:
        """Return a line taken apart; None for one that begins with ``#``.

        Raises:
            ValueError: it has other fields; the message holds nothing of the line.
        """
        if text.startswith("#"):
            # IIS writes the heading again when its service starts, perhaps with other fields.
            if text.startswith("#Fields:"):
                self._name_fields(text.removeprefix("#Fields:"))
            return None
        # CloudFront has tabs; IIS has blanks, as the standard does.
        tabs = "\t" in text
        values = text.split("\t") if tabs else text.split()
        if '"' in text:
            # Akamai quotes texts, as the standard asks for, and blanks in them are themselves.
            if len(values) != len(self._names):
                values = QUOTED_VALUE.findall(text)
            values = [value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value for value in values]
        if len(values) != len(self._names):
            raise ValueError("not as many values as the #Fields line has names")
        return named_line(dict(zip(self._names, values, strict=True)), plus=not tabs)


def named_line(raw: Mapping[str, str], plus: bool) -> Line:
    """Return a line of values by their fields' names in small letters.

    Args:
        raw: the values; ``-`` is none.
        plus: whether spaces are written as ``+`` (IIS), not as ``%20`` (CloudFront).

    Raises:
        ValueError: a field that every line needs is missing or wrong.
    """
    # The standard has UTC; so have IIS and CloudFront, which has numbers besides since its second version.
    numbers = raw.get("timestamp(ms)") or raw.get("timestamp") or ""
    found = {"time": f"{raw['date']} {raw.get('time', '')}" if "date" in raw else numbers}
    for name, meaning in FIELDS.items():
        value = raw.get(name, "-")
        if value != "-":
            found[meaning] = _spaced(value, plus) if meaning in SPACED else value
    arl = EDGE_TARGET.fullmatch(found.get("target", "")) if "cs-ip" in raw else None
    if arl and HOST.fullmatch(arl[1]):
        found["host"], found["target"] = without_port(arl[1]), arl[2]
    # A client that sends none is a bot; a format that logs none tells nothing of bots.
    if "cs(user-agent)" in raw:
        found.setdefault("agent", "")
    return line_of(found)


def _spaced(value: str, plus: bool) -> str:
    return value.replace("+", " ") if plus and "%20" not in value else unquote(value, errors="replace")
