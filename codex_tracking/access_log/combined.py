"""Text lines: Apache's and nginx's combined and common formats with any prefix, and load balancers of AWS.

Formats: https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#examples (``common``, ``combined``,
``vhost_combined``), nginx's ``combined`` and its default ``main``,
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html.
"""

from __future__ import annotations

import re
from functools import lru_cache

from codex_tracking.access_log.addresses import WITH_PORT, client_of, forwarded_of
from codex_tracking.access_log.line import NO_HEADERS, QUOTED, Line, line_of, local_time, request_of, unescaped

COMBINED = re.compile(
    # Before the time, anything: container runtimes, syslog and application servers put prefixes there.
    r"([^\[]*|.*?)\[(\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d\d):(\d\d):(\d\d)(?:[.,]\d+)? ([+-]\d{4})\] "
    rf"{QUOTED} (\d{{3}}) (?:\d+|-) (?:{QUOTED}|-) (?:{QUOTED}|-)(?: {QUOTED})?(?= |$)",
    re.ASCII,
)
COMMON = re.compile(
    r"([^\[]*|.*?)\[(\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d\d):(\d\d):(\d\d)(?:[.,]\d+)? ([+-]\d{4})\] "
    rf"{QUOTED} (\d{{3}}) (?:\d+|-)(?: [\d.-]+)*",
    re.ASCII,
)
MINUTE = re.compile(r"(\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d\d):(\d\d) ([+-]\d{4})\] ", re.ASCII)
BALANCER = re.compile(
    # Classic load balancers have no type in front, application load balancers do.
    r"(?:(?:https?|h2|grpcs?|wss?) )?(\d{4}-\d\d-\d\dT[\d:.]+Z) \S+ (\S+) \S+ \S+ \S+ \S+ (\d{3}|-) \S+ \S+ \S+ "
    rf"{QUOTED} {QUOTED}",
    re.ASCII,
)


SECONDS = {f":{second:02}": second for second in range(61)}
"""With 60, since a server may log the leap second."""
STATUSES = {f" {status:03} ": status for status in range(1000)}


def parse_text(text: str) -> Line:
    """Return a line of text taken apart.

    Raises:
        ValueError: it has none of these formats, or no client; the message holds nothing of the line.
    """
    # Of most lines the quotes alone tell the parts, in a third of the time that the pattern takes.
    parts = text.split('"')
    if len(parts) == 7 and "\\" not in text:
        line = _plain(parts)
        if line is not None:
            return line
    found = COMBINED.match(text)
    if found is None:
        return _other(text)
    words, hour, minutes, seconds, zone, request, status, referrer, agent, forwarded = found.groups()
    if "\\" in text:
        request, referrer, agent = unescaped(request), unescaped(referrer or ""), unescaped(agent or "")
    method, target = request_of(request)
    address, host = client_of(words.rstrip())
    return Line(
        local_time(hour, minutes, seconds, zone),
        address,
        method,
        target,
        int(status),
        "" if referrer is None or referrer == "-" else referrer,
        "" if agent is None or agent == "-" else agent,
        host,
        forwarded="" if forwarded is None or forwarded == "-" else forwarded_of(forwarded, address),
    )


def _plain(parts: list[str]) -> Line | None:
    """Return a line of the combined format from the parts between its quotes; None when the pattern has to decide."""
    before, request, answer, referrer, between, agent, rest = parts
    words, _, time = before.partition("[")
    size = answer[5:-1]
    if (
        between != " "
        or (rest and rest[0] != " ")
        or answer[:5] not in STATUSES
        or answer[-1] != " "
        or not (size == "-" or (size.isdecimal() and size.isascii()))
        or time[-11:-8] not in SECONDS
    ):
        return None
    try:
        method, target = request_of(request)
        address, host = client_of(words.rstrip())
        minute = _minute(time[:-11], time[-8:])
    except ValueError:
        # The client may come after other brackets; if not, the pattern's way says what is wrong.
        return None
    return tuple.__new__(
        Line,
        (
            minute + SECONDS[time[-11:-8]],
            address,
            method,
            target,
            STATUSES[answer[:5]],
            "" if referrer == "-" else referrer,
            "" if agent == "-" else agent,
            host,
            "",
            "",
            "",
            NO_HEADERS,
        ),
    )


@lru_cache(maxsize=256)
def _minute(text: str, zone: str) -> float:
    """Return the beginning of a minute such as ``10/Oct/2026:13:55``, `` +0200] ``."""
    found = MINUTE.fullmatch(text + zone)
    if found is None:
        raise ValueError("not a time of the form 10/Oct/2026:13:55:36 +0200")
    return local_time(found[1], found[2], "00", found[3])


def _other(text: str) -> Line:
    found = COMMON.fullmatch(text)
    if found:
        words, hour, minutes, seconds, zone, request, status = found.groups()
        address, host = client_of(words.rstrip())
        at = local_time(hour, minutes, seconds, zone)
        return Line(at, address, *request_of(unescaped(request)), int(status), "", None, host)
    found = BALANCER.match(text)
    if found:
        time, address, status, request, agent = found.groups()
        if not WITH_PORT.fullmatch(address):
            raise ValueError("no client address")
        # The balancer itself answers with "-" when no target did.
        return line_of(
            {
                "time": time,
                "address": address,
                "status": status,
                "request": request,
                "agent": "" if agent == "-" else agent,
            }
        )
    raise ValueError("not in the combined format")
