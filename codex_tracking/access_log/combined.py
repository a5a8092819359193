"""Text lines: Apache's and nginx's combined and common formats with any prefix, and load balancers of AWS.

Formats: https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#examples (``common``, ``combined``,
``vhost_combined``), nginx's ``combined`` and its default ``main``, IONOS's with the host, Nginx Proxy Manager's,
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html.
"""

from __future__ import annotations

import re
from functools import lru_cache

from codex_tracking.access_log.addresses import HOST, WITH_PORT, client_of, forwarded_of, without_port
from codex_tracking.access_log.line import LINE_LIMIT, QUOTED, Line, line_of, local_time, request_of, unescaped

COMBINED = re.compile(
    # Before the time, anything: container runtimes, syslog and application servers put prefixes there.
    r"([^\[]*|.*?)\[(\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d\d):(\d\d):(\d\d)(?:[.,]\d+)? ([+-]\d{4})\] "
    # IONOS writes the virtual host after the size, without quotes.
    rf"{QUOTED} (\d{{3}}) (?:\d+|-)(?: ((?:[\w-]+\.)+[A-Za-z][\w-]*))? "
    rf"(?:{QUOTED}|-) (?:{QUOTED}|-)(?: {QUOTED})?(?= |$)",
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
NGINX_PROXY_MANAGER = re.compile(
    # Of a proxied host the upstream's cache and status stand before the status.
    r"\[(\d{1,2}/[A-Z][a-z]{2}/\d{4}:[\d:]{8} [+-]\d{4})\] (?:\S+ \S+ )?(\d{3}) - ([A-Z]+) https? (\S+) "
    rf"{QUOTED} \[Client (\S+)\] (?:\[[^\]]*\] )*{QUOTED} {QUOTED}",
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
    line = plain_line(text, text.split('"'))
    if line is not None:
        return line
    found = COMBINED.match(text)
    if found is None:
        return _other(text)
    words, hour, minutes, seconds, zone, request, status, named, referrer, agent, forwarded = found.groups()
    if "\\" in text:
        request, referrer, agent = unescaped(request), unescaped(referrer or ""), unescaped(agent or "")
    method, target = request_of(request)
    address, host = client_of(words.rstrip())
    host = named or host
    if forwarded and agent and HOST.fullmatch(referrer or "") and is_referrer(agent):
        # Apache's "%{Host}i" before the other two: a browser's referrer has a scheme, and an agent none.
        host, referrer, agent, forwarded = without_port(referrer), agent, forwarded, None
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


def plain_line(text: str, parts: list[str]) -> Line | None:
    """Return a line of which the quotes alone tell the parts, in a third of the time that the pattern takes.

    Args:
        text: a line, perhaps in the combined format, with or without ``X-Forwarded-For`` after it.
        parts: the text between its quotes.

    Returns:
        None when the pattern has to decide.
    """
    # A backslash may escape a quote, and then the quotes do not tell the parts.
    if len(parts) not in (7, 9) or "\\" in text or len(text) > LINE_LIMIT:
        return None
    before, request, answer, referrer, between, agent, *forwarded, rest = parts
    words, _, time = before.partition("[")
    if (
        between != " "
        or forwarded[:1] not in ([], [" "])
        or not ends_well(rest)
        or answer[:5] not in STATUSES
        or answer[-1] != " "
        or not is_size(answer[5:-1])
        or time[-11:-8] not in SECONDS
    ):
        return None
    try:
        method, target = request_of(request)
        client = plain_client(words, agent, *forwarded[1:])
        minute = minute_of(time[:-11], time[-8:])
    except ValueError:
        # The client may come after other brackets; if not, the pattern's way says what is wrong.
        return None
    at, referrer = minute + SECONDS[time[-11:-8]], "" if referrer == "-" else referrer
    return client._replace(at=at, method=method, target=target, status=STATUSES[answer[:5]], referrer=referrer)


def plain_client(words: str, agent: str, forwarded: str | None = None) -> Line:
    """Return a plain line of which the client alone is known.

    Args:
        words: the text before the time.
        agent: its text between quotes.
        forwarded: the same of ``X-Forwarded-For``; None if the line has none.

    Raises:
        ValueError: the pattern has to decide.
    """
    # Apache's "%{Host}i" before referrer and agent puts the referrer in the agent's place.
    if "\\" in agent or (forwarded is not None and is_referrer(agent)):
        raise ValueError("no plain user agent")
    address, host = client_of(words.rstrip())
    hops = "" if forwarded in (None, "-") else forwarded_of(forwarded, address)
    return Line(0.0, address, "GET", "/", 200, "", "" if agent == "-" else agent, host, "", hops)


def is_referrer(text: str) -> bool:
    """Return whether a text may be the referrer of a browser, and no user agent that one has."""
    return text == "-" or text.startswith(("https://", "http://"))


def is_size(text: str) -> bool:
    """Return whether a text is an answer's size."""
    return (text.isdecimal() and text.isascii()) or text == "-"


def ends_well(rest: str) -> bool:
    """Return whether a plain line may have this text after its last quote."""
    return not rest or rest[0] == " " or rest == "\r"


@lru_cache(maxsize=256)
def minute_of(text: str, zone: str) -> float:
    """Return the beginning of a minute such as ``10/Oct/2026:13:55``, `` +0200] ``."""
    found = MINUTE.fullmatch(text + zone)
    if found is None:
        raise ValueError("not a time of the form 10/Oct/2026:13:55:36 +0200")
    return local_time(found[1], found[2], "00", found[3])


def _other(text: str) -> Line:
    found = COMMON.fullmatch(text)
    # The common format has no agent: None, not an empty one, which would be a bot's.
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
    found = NGINX_PROXY_MANAGER.match(text)
    if found:
        time, status, method, host, target, address, agent, referrer = map(unescaped, found.groups())
        fields = {"time": time, "status": status, "method": method, "host": without_port(host), "target": target}
        quoted = {"agent": agent, "referrer": referrer}
        return line_of(
            fields | {"address": address} | {name: "" if text == "-" else text for name, text in quoted.items()}
        )
    raise ValueError("not in the combined format")
