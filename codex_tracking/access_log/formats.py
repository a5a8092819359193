"""The formats of access logs: the parser of a log, and the names of formats that cannot be read."""

from __future__ import annotations

import re
from collections.abc import Callable

from codex_tracking.access_log.combined import parse_text
from codex_tracking.access_log.directives import DirectiveParser
from codex_tracking.access_log.json_lines import parse_json
from codex_tracking.access_log.line import LINE_LIMIT, Line
from codex_tracking.access_log.w3c import W3CParser

Parse = Callable[[str], Line | None]
"""Reads a line; None for a heading. ValueError for a line of another format."""

FIELDS = re.compile(r"^#Fields:(.*)$", re.MULTILINE)

FORMAT = "name its fields with --format, in nginx's or Apache's directives"
LOG_MORE = "It can be imported only when the server writes more"

UNREADABLE: tuple[tuple[str, str, str], ...] = (
    (
        r'^(?:\d+-\d+-\d+.*)?(?:INFO: +|\[INFO\] )?\S+:\d+ - "[A-Z]+ .*" \d{3}',
        "uvicorn's log",
        (
            f"It has no time and no user agent. {LOG_MORE}: import the log of the web server before it, or give "
            "uvicorn a logging configuration."
        ),
    ),
    (
        r'^\[\d{4}-\d\d-\d\d .*?\] [\d.:a-f]+ - "[A-Z]+ ',
        "granian's log",
        f'It has no user agent. {LOG_MORE}: granian --access-log-fmt with "%(addr)s - - [%(time)s] ...".',
    ),
    (
        r'^\[?\d\d/[A-Z][a-z]{2}/\d{4} \d\d:\d\d:\d\d\] "',
        "the log of Django's runserver",
        "It has no client. Import the log of a web server.",
    ),
    (
        r"^\S+ - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d\] ",
        "daphne's log",
        "Its times have no zone and it has no user agent. Import the log of the web server before it.",
    ),
    (r"^[\d/: .]{19,29}\t[A-Z]+\t.*\{", "Caddy's console format", "Let Caddy write JSON: log { format json }."),
    (
        r"(?:^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d|^\[\w{3} \w{3} \d\d .*?\]) \[[\w:]+\]",
        "an error log",
        "Import the access log.",
    ),
    (r"haproxy\[\d+\]|^\S+:\d+ \[\d\d/\w{3}/\d{4}:[\d:.]+\] ", "HAProxy's log", f"With captured headers, {FORMAT}."),
    (r"^\w+:[^\t]+\t\w+:", "LTSV", f"If its fields keep their order, {FORMAT}."),
    (r"^[0-9a-f]{64} \S+ \[\d\d/\w{3}/\d{4}:", "Amazon S3's log", f"For a site that S3 serves, {FORMAT}."),
    (r"^\[\d{4}-\d\d-\d\dT[\d:.]+Z\] \"[A-Z]+ ", "Envoy's text format", f"Let it write JSON, or {FORMAT}."),
    (r"^.*heroku\[router\]:|\bat=info method=", "Heroku's router log", "It has no user agent. Import another log."),
    (r"^<\?xml|^<!DOCTYPE|^<html", "a web page", "Import an access log."),
    (r'^"?[\w-]+"?(?:,"?[\w -]+"?){3,}\s*$', "a CSV file", f"As lines of text, {FORMAT}."),
    (r"^\s*[\[{]\s*$|^\[\{", "JSON in one piece", "Write one object on each line, as jq -c '.[]' FILE does."),
    (r"^\{", "JSON under unknown names", "Each line needs time, client address, request and status; see the docs."),
    (r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", "a text format of its own", f"To import it, {FORMAT}."),
)
"""Pattern of a line, name of its format, and the remedy."""


def parse(text: str) -> Line:
    """Return a line of any format that needs no heading: JSON when it begins with a brace, else text.

    Raises:
        ValueError: it is no such line; the message says why, and holds nothing of the line.
    """
    if len(text) > LINE_LIMIT:
        raise ValueError(f"longer than {LINE_LIMIT} characters")
    # A log that was cut while its server wrote to it has zeros there (copytruncate of logrotate).
    text = text.strip("\0 \t\r\n\ufeff")
    if text.startswith("{"):
        return parse_json(text, parse)
    try:
        return parse_text(text)
    except ValueError:
        # Container runtimes put their time and stream before an application's JSON.
        begin = text.find(" {")
        if begin < 0 or not text.endswith("}"):
            raise
        return parse_json(text[begin + 1 :], parse)


def parser_of(head: str, directives: str = "") -> Parse:
    """Return the parser of a log.

    Args:
        head: the log's beginning.
        directives: the lines' format in a server's own words; empty to recognise it.

    Raises:
        ValueError: the option's format cannot be used; the message says why.
    """
    if directives:
        return _limited(DirectiveParser(directives))
    # W3C's headings name the fields, so that such a log needs no option: https://www.w3.org/TR/WD-logfile.html
    fields = FIELDS.search(head) if head.lstrip("\ufeff").startswith("#") else None
    return _limited(W3CParser(fields[1])) if fields else parse


def _limited(parse: Parse) -> Parse:
    def limited(text: str) -> Line | None:
        if len(text) > LINE_LIMIT:
            raise ValueError(f"longer than {LINE_LIMIT} characters")
        return parse(text.rstrip("\r\n"))

    return limited


def unreadable(head: str) -> str:
    """Return a sentence about a log of which no line can be read: its format if known, and the remedy."""
    lines = [line for line in head.splitlines()[:20] if line.strip()]
    for pattern, name, remedy in UNREADABLE:
        # Any of the first lines: a log may begin in the middle of one, or with messages of its server.
        if any(re.search(pattern, line, re.ASCII) for line in lines):
            return f"no line can be read; it looks like {name}. {remedy}"
    return f"no line can be read; the format is unknown. If it is an access log, {FORMAT}."
