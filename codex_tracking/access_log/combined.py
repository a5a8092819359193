"""Text lines: Apache's and nginx's combined and common formats with any prefix, and load balancers of AWS.

Formats: https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#examples (``common``, ``combined``,
``vhost_combined``), nginx's ``combined`` and its default ``main``,
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html.
"""

from __future__ import annotations

import re

from codex_tracking.access_log.addresses import WITH_PORT, client_of, forwarded_of
from codex_tracking.access_log.line import QUOTED, Line, line_of, local_time, request_of, unescaped

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
BALANCER = re.compile(
    # Classic load balancers have no type in front, application load balancers do.
    r"(?:(?:https?|h2|grpcs?|wss?) )?(\d{4}-\d\d-\d\dT[\d:.]+Z) \S+ (\S+) \S+ \S+ \S+ \S+ (\d{3}|-) \S+ \S+ \S+ "
    rf"{QUOTED} {QUOTED}",
    re.ASCII,
)


def parse_text(text: str) -> Line:
    """Return a line of text taken apart.

    Raises:
        ValueError: it has none of these formats, or no client; the message holds nothing of the line.
    """
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
