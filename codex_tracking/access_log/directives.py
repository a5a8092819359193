"""Formats in the words of a server's own configuration: nginx's ``$variables`` and Apache's ``%directives``.

Sources: https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format,
https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#formats.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from codex_tracking.access_log.fields import MEANINGS, NAMES, Meaning
from codex_tracking.access_log.line import Line, line_of, unescaped

DIRECTIVE = re.compile(
    r"\$(?:\{(\w+)\}|(\w+))"
    # Apache: %>s, %!200,304{User-Agent}i, %{begin:%d/%b/%Y}t
    r"|%[<>!\d,]*(?:\{([^}]+)\})?(\^(?:FB|ti|to)|[A-Za-z%])"
)
NGINX: dict[str, Meaning] = {
    name: meaning for meaning in MEANINGS for name in NAMES[meaning].split() if "." not in name
} | {
    "proxy_protocol_addr": "address",
    "realip_remote_addr": "address",
    "http_x_real_ip": "address",
    "host": "host",
    "uri": "target",
    "document_uri": "target",
    "proxy_add_x_forwarded_for": "forwarded",
}
APACHE: dict[str, Meaning] = {
    "h": "address",
    "a": "address",
    "r": "request",
    "m": "method",
    "U": "target",
    "q": "query",
    "s": "status",
    "v": "host",
    "V": "host",
}
APACHE_HEADERS: dict[str, Meaning] = {
    "user-agent": "agent",
    "referer": "referrer",
    "host": "host",
    "x-forwarded-for": "forwarded",
    "x-real-ip": "address",
    "cf-connecting-ip": "address",
    "true-client-ip": "address",
    "accept-language": "language",
}
# %{msec_frac}t and %{usec_frac}t are parts of a second alone.
APACHE_TIMES = {"sec", "msec", "usec"}
REQUEST = r"[A-Z]+ \S+(?: HTTP/[\d.]+)?"
"""Pattern of a request that no quotes enclose."""
PIECE = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
STATEMENT = re.compile(rf"(?:LogFormat|log_format\s+\S+(?:\s+escape=\w+)?)\s+({PIECE}(?:\s*{PIECE})*)", re.IGNORECASE)
PIECES = re.compile(r"((?:'(?:[^'\\]|\\.)*'\s*)+);?")
"""A statement of a configuration, and nginx's quoted pieces without it; double quotes alone may be the format's own."""
NAMED = {
    "common": '%h %l %u %t "%r" %>s %b',
    "combined": '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"',
    "vhost_combined": '%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"',
}
"""The formats that both servers have a name for."""


class DirectiveParser:
    """Reads lines of one format.

    Args:
        directives: such as ``$remote_addr [$time_local] "$request" $status "$http_user_agent"``, or a key of ``NAMED``.

    Raises:
        ValueError: the format lacks a field that every line needs; the message says which.
    """

    def __init__(self, directives: str) -> None:
        directives = NAMED.get(directives, _configured(directives))
        self._meanings: list[Meaning] = []
        self._times: list[str] = []
        pattern, at, names = "", 0, 0
        for found in DIRECTIVE.finditer(directives):
            pattern += _literal(directives[at : found.start()])
            at = found.end()
            before, after = directives[: found.start()][-1:], directives[at : at + 1]
            part, meaning, time = _part(found, before, after)
            if meaning and meaning not in self._meanings:
                self._meanings.append(meaning)
                self._times.append(time)
                pattern += f"({part})"
            else:
                pattern += f"(?:{part})"
            names += 1
        if not names:
            raise ValueError("no directive such as $remote_addr or %h in it")
        # Servers may append further fields later; what follows is not needed.
        self._pattern = re.compile(pattern + _literal(directives[at:]))
        needed: dict[str, tuple[Meaning, ...]] = {
            "the time ($time_local, %t)": ("time",),
            "the client ($remote_addr, %h)": ("address", "forwarded"),
            "the request ($request, %r)": ("request", "target"),
            "the status ($status, %>s)": ("status",),
        }
        missing = [text for text, meanings in needed.items() if not set(meanings) & set(self._meanings)]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
        self._time = self._times[self._meanings.index("time")]

    def __call__(self, text: str) -> Line:
        """Return a line taken apart.

        Raises:
            ValueError: it has another format; the message holds nothing of the line.
        """
        found = self._pattern.match(text)
        if found is None:
            raise ValueError("not in the format given by --format")
        fields: dict[str, str] = {}
        for meaning, value in zip(self._meanings, found.groups(), strict=True):
            if value and value != "-":
                fields[meaning] = value if meaning in ("request", "time") else unescaped(value)
        # None stands for a format without user agents, which cannot tell bots from people.
        if "agent" in self._meanings:
            fields.setdefault("agent", "")
        # Behind a proxy some logs have the header in place of the address.
        if "address" not in self._meanings and "forwarded" in fields:
            fields["address"] = fields.pop("forwarded")
        if self._time:
            fields["time"] = _read_time(fields.get("time", ""), self._time)
        return line_of(fields)


def _configured(text: str) -> str:
    """Return a format as the server has it that reads it in its configuration: without quotes and backslashes."""
    found = STATEMENT.match(text.strip()) or PIECES.fullmatch(text.strip())
    if found:
        text = "".join(piece[1:-1] for piece in re.findall(PIECE, found[1]))
    return re.sub(r"\\(.)", lambda sign: {"t": "\t"}.get(sign[1], sign[1]), text)


def _literal(text: str) -> str:
    """Return the pattern of the text between two directives; of blanks there may be more."""
    return re.sub(r"(\\ |\\\t)+", r"\\s+", re.escape(text))


def _part(found: re.Match[str], before: str, after: str) -> tuple[str, Meaning | None, str]:
    """Return the pattern of a directive, its meaning, and the form of its time."""
    long, short, argument, letter = found.groups()
    free = _free(before, after)
    if "time_local" in (long, short):
        return r"[^ \]]+ [+-]\d{4}", "time", ""
    if long or short:
        meaning = NGINX.get(long or short)
        return REQUEST if meaning == "request" and before != '"' else free, meaning, ""
    if letter == "%":
        return "%", None, ""
    if letter == "t":
        form = (argument or "").removeprefix("begin:").removeprefix("end:")
        if not form:
            return r"\[[^\]]+\]|\S+ [+-]\d{4}", "time", ""
        free = r"\S+" + r" \S+" * form.count(" ") if form not in APACHE_TIMES else free
        return free, None if form.endswith("_frac") else "time", "" if form in APACHE_TIMES else form
    if letter == "i":
        return free, APACHE_HEADERS.get((argument or "").lower()), ""
    if letter == "o":
        return free, "content_type" if (argument or "").lower() == "content-type" else None, ""
    meaning = APACHE.get(letter)
    return REQUEST if meaning == "request" and before != '"' else free, meaning, ""


def _free(before: str, after: str) -> str:
    """Return the pattern of a value by the characters around it; quoted values may hold blanks."""
    if before == '"' == after:
        return r'[^"\\]*(?:\\.[^"\\]*)*'
    if before == "[" and after == "]":
        return r"[^\]]*"
    if after in ("", " "):
        # A list of addresses has blanks.
        return r"(?:\S+, )*\S*" if after else r".*"
    return rf"[^{re.escape(after)}]*"


@lru_cache(maxsize=4096)
def _read_time(text: str, form: str) -> str:
    try:
        read = datetime.strptime(text, form)  # noqa: DTZ007 (UTC below when the form has no zone)
    except ValueError:
        raise ValueError("no time of the form that --format gives") from None
    return str((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())
