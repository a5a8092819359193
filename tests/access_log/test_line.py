"""Access log lines: the formats that servers write, and everything else that stands in logs."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codex_tracking.access_log import combined as text_lines
from codex_tracking.access_log.combined import parse_text
from codex_tracking.access_log.file import HEAD_BYTES, LogFile
from codex_tracking.access_log.formats import parse, parser_of
from codex_tracking.access_log.line import LINE_LIMIT, Line, is_page
from codex_tracking.access_log.progress import prints_of

pytestmark = pytest.mark.one_python

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
AT = datetime(2026, 5, 1, 7, 30, 59, tzinfo=UTC).timestamp()


def combined(
    *,
    address: str = "203.0.113.9",
    at: str = "01/May/2026:09:30:59 +0200",
    request: str = "GET /a/?b=c HTTP/1.1",
    status: str = "200",
    referrer: str = "https://example.com/",
    agent: str = AGENT,
    before: str = "",
    after: str = "",
) -> str:
    return f'{before}{address} - - [{at}] "{request}" {status} 512 "{referrer}" "{agent}"{after}'


def with_host(referrer: str, after: str = "") -> str:
    """Return a line with the quoted host before the referrer, as Apache's ``%{Host}i`` writes it."""
    return combined(referrer="example.org").removesuffix(f'"{AGENT}"') + f'{referrer} "{AGENT}"{after}'


PROXY_MANAGER = (
    '[01/May/2026:09:30:59 +0200] {before}200 - GET https example.org "/a/?b=c" [Client 203.0.113.9] [Length 27] '
    f'[Gzip -] [Sent-to 10.8.0.1] "{AGENT}" "https://example.com/"'
)
EXPECTED = Line(AT, "203.0.113.9", "GET", "/a/?b=c", 200, "https://example.com/", AGENT)


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        (combined(), {}),
        (combined() + "\r\n", {}),
        (combined(before="www.example.org:443 "), {"host": "www.example.org"}),
        (combined(after=' "198.51.100.7, 10.0.0.1"'), {"forwarded": "198.51.100.7, 10.0.0.1"}),
        (combined(after=' "-"'), {}),
        (combined(after=" 0.012 0.011 . rt=3"), {}),
        (combined(address="2001:db8::7"), {"address": "2001:db8::7"}),
        (combined(referrer="-"), {"referrer": ""}),
        (combined(agent="-"), {"agent": ""}),
        (combined(status="404"), {"status": 404}),
        (combined(request="POST /a/ HTTP/2.0"), {"method": "POST", "target": "/a/"}),
        (combined(request="GET /old"), {"target": "/old"}),
        (combined(agent=r"say \"hi\" \\ there"), {"agent": 'say "hi" \\ there'}),
        (combined(request=r"GET /\xC3\xA4/ HTTP/1.1"), {"target": "/ä/"}),
        (combined(request=r"GET /\xE4/ HTTP/1.1"), {"target": "/\ufffd/"}),
        (combined(agent=r"a\tb"), {"agent": "a\tb"}),
        (combined(at="01/May/2026:02:30:59 -0500"), {}),
        (combined(at="1/May/2026:07:30:59 +0000"), {}),
        (with_host('"https://example.com/"'), {"host": "example.org"}),
        (with_host('"-"'), {"host": "example.org", "referrer": ""}),
        (with_host('"-"', ' "192.0.2.7"'), {"host": "example.org", "referrer": ""}),
        (combined(referrer="example.org", after=' "x"'), {"referrer": "example.org"}),
        (combined(agent="-", after=' "198.51.100.7"'), {"agent": "", "forwarded": "198.51.100.7"}),
    ],
)
def test_combined_line_is_taken_apart(line: str, changes: dict[str, Any]) -> None:
    assert parse(line) == EXPECTED._replace(**changes)


def test_a_user_name_with_blanks_and_brackets_is_skipped() -> None:
    assert parse(combined().replace(" - - [", " - ann [of] x [", 1)) == EXPECTED


NGINX = {
    "time_iso8601": "2026-05-01T09:30:59+02:00",
    "remote_addr": "203.0.113.9",
    "request_method": "GET",
    "request_uri": "/a/?b=c",
    "status": "200",
    "http_referer": "https://example.com/",
    "http_user_agent": AGENT,
}
TYPE = "text/html; charset=utf-8"
CADDY = {
    "level": "info",
    "ts": AT,
    "msg": "handled request",
    "request": {
        "remote_ip": "203.0.113.9",
        "method": "GET",
        "host": "example.org",
        "uri": "/a/?b=c",
        "headers": {"User-Agent": [AGENT], "Referer": ["https://example.com/"], "Accept-Language": ["de"]},
    },
    "status": 200,
    "resp_headers": {"Content-Type": ["text/html; charset=utf-8"]},
}
TRAEFIK = {
    "ClientHost": "203.0.113.9",
    "RequestMethod": "GET",
    "RequestPath": "/a/?b=c",
    "DownstreamStatus": 200,
    "StartUTC": "2026-05-01T07:30:59.000000000Z",
    "RequestHost": "example.org",
    "request_User-Agent": AGENT,
    "request_Referer": "https://example.com/",
}

AZURE = {
    "time": "2026-05-01T07:30:59.0000000Z",
    "category": "FrontDoorAccessLog",
    "properties": {
        "httpMethod": "GET",
        "requestUri": "https://example.org:443/a/?b=c",
        "clientIp": "203.0.113.9",
        "userAgent": AGENT,
        "httpStatusCode": "200",
        "referer": "https://example.com/",
    },
}
VERCEL = {
    "timestamp": AT * 1000,
    "level": "info",
    "statusCode": 0,
    "path": "/[slug]",
    "proxy": {
        "method": "GET",
        "path": "/a/?b=c",
        "host": "example.org",
        "userAgent": [AGENT],
        "referer": "https://example.com/",
        "statusCode": 200,
        "clientIp": "203.0.113.9",
    },
}
CLOUDFRONT = {
    "timestamp(ms)": str(int(AT * 1000)),
    "c-ip": "203.0.113.9",
    "cs-method": "GET",
    "cs-uri-stem": "/a/",
    "cs-uri-query": "b=c",
    "sc-status": "200",
    "cs(Referer)": "https://example.com/",
    "cs(User-Agent)": AGENT.replace(" ", "%20"),
    "x-host-header": "example.org",
}


DATASTREAM = {
    "version": 1,
    "cp": "123456",
    "reqTimeSec": f"{AT}",
    "bytes": "4995",
    "cliIP": "203.0.113.9",
    "statusCode": "200",
    "proto": "HTTPS",
    "reqHost": "example.org",
    "reqMethod": "GET",
    "reqPath": "a/",
    "queryStr": "b=c",
    "cookie": "-",
    "rspContentType": "text%2Fhtml",
    "referer": "https%3A%2F%2Fexample.com%2F",
    "accLang": "de",
    "xForwardedFor": "-",
    "UA": quote_plus(AGENT),
}
CLOUD_MONITOR = {
    "proto": "http",
    "status": "200",
    "cliIP": "203.0.113.9",
    "reqHost": "example.org",
    "reqMethod": "GET",
    "reqPath": "/a/",
    "reqQuery": "b=c",
    "referer": "https://example.com/",
    "UA": AGENT.replace(" ", "%20"),
}
API_GATEWAY = {
    "requestId": "x",
    "ip": "203.0.113.9",
    "requestTime": "01/May/2026:09:30:59 +0200",
    "httpMethod": "GET",
    "path": "/a/",
    "status": "200",
    "protocol": "HTTP/1.1",
    "userAgent": AGENT,
}


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        (combined().replace(" 512 ", " 512 www.example.org "), {"host": "www.example.org"}),
        (combined(after=' "-"').replace(" 512 ", " - example.org "), {"host": "example.org"}),
        (PROXY_MANAGER.format(before="- 200 "), {"host": "example.org"}),
        (PROXY_MANAGER.format(before=""), {"host": "example.org"}),
        (PROXY_MANAGER.format(before="").replace("https://example.com/", "-"), {"host": "example.org", "referrer": ""}),
    ],
    ids=["ionos", "ionos without size", "nginx proxy manager", "its standard format", "without referrer"],
)
def test_the_host_stands_in_many_places(line: str, changes: dict[str, Any]) -> None:
    assert parse(line) == EXPECTED._replace(**changes)


def test_a_number_after_the_size_is_no_host() -> None:
    with pytest.raises(ValueError, match="not in the combined format"):
        parse(combined().replace(" 512 ", " 512 0.005 "))


@pytest.mark.parametrize(
    ("values", "separator", "changes"),
    [
        (["/example.org/a/?b=c", "200", '"https://example.com/"', f'"{AGENT}"', '"-"'], "\t", {"host": "example.org"}),
        (["/a/?b=c", "200", '"https://example.com/"', f'"{AGENT}"', '"x y"'], "\t", {}),
        (["/robots.txt", "200", '"-"', f'"{AGENT}"', '"-"'], "\t", {"target": "/robots.txt", "referrer": ""}),
        (["/example.org/a/?b=c", "200", '"https://example.com/"', f'"{AGENT}"', '"-"'], " ", {"host": "example.org"}),
        (["/a/?b=c", "200", "https://example.com/", AGENT.replace(" ", "%20"), "-"], " ", {}),
    ],
    ids=["akamai", "without host", "file in the root", "blanks", "nothing quoted"],
)
def test_akamais_w3c_log_is_read(values: list[str], separator: str, changes: dict[str, Any]) -> None:
    read = parser_of(
        "#Version: 1.0\n#Fields: date time cs-ip cs-method cs-uri sc-status cs(Referer) cs(User-Agent) cs(Cookie)\n"
    )
    line = separator.join(["2026-05-01", "07:30:59", "203.0.113.9", "GET", *values])
    assert read(line) == EXPECTED._replace(**changes)


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        (NGINX, {}),
        (NGINX | {"status": 304, "http_referer": "-"}, {"status": 304, "referrer": ""}),
        (NGINX | {"request_uri": "/a/", "args": "b=c"}, {}),
        (
            {**{k: v for k, v in NGINX.items() if k not in ("request_method", "request_uri")}}
            | {"request": "GET /a/?b=c HTTP/1.1"},
            {},
        ),
        ({k: v for k, v in NGINX.items() if k != "time_iso8601"} | {"msec": f"{AT:.3f}"}, {}),
        ({k: v for k, v in NGINX.items() if k != "time_iso8601"} | {"ts": AT * 1000}, {}),
        ({k: v for k, v in NGINX.items() if k != "time_iso8601"} | {"time_local": "01/May/2026:09:30:59 +0200"}, {}),
        (NGINX | {"sent_http_content_type": "text/html", "host": "a.b"}, {"content_type": "text/html", "host": "a.b"}),
        (CADDY, {"host": "example.org", "content_type": "text/html; charset=utf-8", "language": "de"}),
        (TRAEFIK, {"host": "example.org"}),
        (CADDY | {"ts": "2026/05/01 07:30:59.000"}, {"host": "example.org", "content_type": TYPE, "language": "de"}),
        (AZURE, {"target": "https://example.org:443/a/?b=c"}),
        (VERCEL, {"host": "example.org"}),
        ({"time": "2026-05-01T07:31:05Z", "jsonPayload": NGINX}, {}),
        ({"status": "info", "attributes": {"deeper": NGINX}}, {}),
        (CLOUDFRONT, {"host": "example.org"}),
        (DATASTREAM, {"host": "example.org", "content_type": "text/html", "language": "de"}),
        (
            DATASTREAM | {"UA": AGENT.replace(" ", "%20"), "accLang": "-"},
            {"host": "example.org", "content_type": TYPE[:9]},
        ),
        (
            {"start": f"{AT}", "id": "9437c7a7", "message": CLOUD_MONITOR, "geo": {"country": "us"}},
            {"host": "example.org"},
        ),
        (API_GATEWAY, {"referrer": "", "target": "/a/"}),
    ],
    ids=(
        *("nginx", "nginx 304", "args", "request", "msec", "milliseconds", "time_local", "type", "caddy", "traefik"),
        *("caddy wall", "azure", "vercel", "google cloud", "datadog", "cloudfront"),
        *("datastream", "datastream of blanks", "cloud monitor", "api gateway"),
    ),
)
def test_json_line_is_taken_apart(fields: dict[str, Any], changes: dict[str, Any]) -> None:
    assert parse(json.dumps(fields)) == EXPECTED._replace(**changes)


@pytest.mark.parametrize("digits", ["02X", "02x"])
@pytest.mark.parametrize(
    ("agent", "read"),
    [
        (b'Moz "quoted" x', 'Moz "quoted" x'),
        ("Käse 🧀".encode(), "Käse 🧀"),
        (b"C:\\x22 \\n", "C:\\x22 \\n"),
        (b"cut \xc3", "cut \ufffd"),
        (b"tab\tend", "tab\tend"),
    ],
)
def test_json_with_bytes_in_place_of_characters_is_read(agent: bytes, read: str, digits: str) -> None:
    def escaped(text: bytes) -> str:
        """Return a text as nginx writes it without ``escape=json``, and Apache where it is not ASCII."""
        return "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:{digits}}" for byte in text)

    fields = {"request_uri": b'/\xc3\xa4/?a="b"&c', "http_user_agent": agent}
    texts = ", ".join(f'"{name}": "{escaped(value)}"' for name, value in fields.items())
    line = parse(json.dumps(NGINX)[:-1] + f", {texts}}}")
    assert (line.target, line.agent) == ('/ä/?a="b"&c', read)
    # Docker keeps it in a string of its own.
    assert parse(json.dumps({"log": json.dumps(NGINX)[:-1] + f", {texts}}}\n", "stream": "stdout"})) == line


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "not in the combined format"),
        ("garbage", "not in the combined format"),
        (combined()[:-1], "not in the combined format"),
        (combined(request=r"\x16\x03\x01"), "no HTTP request"),
        (combined(request=""), "no HTTP request"),
        (combined(request="GET /a b HTTP/1.1"), "no HTTP request"),
        (combined(at="01/Mai/2026:09:30:59 +0200"), "not a time"),
        (combined(at="31/Feb/2026:09:30:59 +0200"), "not a time that exists"),
        (combined(at="01/May/2026:25:30:59 +0200"), "not a time that exists"),
        (combined(at="01/May/2026:09:99:59 +0200"), "not a time of the form"),
        (combined(at="01/May/2026:09:30:59 +9999"), "not a time that exists"),
        (combined(at="01/May/0001:00:30:59 +0200"), "not a time that exists"),
        ("x" * (LINE_LIMIT + 1), "longer than"),
        ("{", "not JSON"),
        ("{}", "no HTTP request"),
        ('{"a": ' * 5_000, "not JSON"),
        (json.dumps(NGINX | {"status": "none"}), "no status"),
        (json.dumps(NGINX | {"status": True}), "no status"),
        (json.dumps(NGINX | {"status": 10**30}), "no status"),
        (json.dumps(NGINX | {"time_iso8601": "now"}), "no time"),
        (json.dumps(NGINX | {"time_iso8601": "nan"}), "no time"),
        (json.dumps(NGINX | {"time_iso8601": -5}), "no time"),
        (json.dumps(NGINX | {"time_iso8601": None}), "no time"),
    ],
)
def test_malformed_line_says_why_and_nothing_of_itself(line: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        parse(line)
    assert "203.0.113.9" not in str(caught.value)


@given(st.text())
def test_any_text_is_a_line_or_malformed(text: str) -> None:
    for line in (text, "{" + text, combined(request=text), combined(at=text[:20]), combined(agent=text)):
        with contextlib.suppress(ValueError):
            assert isinstance(parse(line), Line)


def taken_apart(line: str, plainly: bool) -> Line | str:
    """Return a line, or why it is malformed."""
    with patch.object(text_lines, "plain_line", text_lines.plain_line if plainly else lambda text, parts: None):
        try:
            return parse_text(line)
        except ValueError as error:
            return str(error)


@given(
    st.integers(0, len(combined())),
    st.integers(0, 3),
    st.sampled_from(['"', "\\", "[", "]", " ", "-", "9", "\u0664", "\n", ":", " - ", "61", ' "1.2.3.4"', "x", ""]),
)
@example(combined().index("512"), 1, "\u0664")
def test_quotes_and_pattern_tell_the_same_parts(at: int, left_out: int, put_in: str) -> None:
    line = combined()[:at] + put_in + combined()[at + left_out :]
    assert taken_apart(line, True) == taken_apart(line, False)


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from([*NGINX, "request", "ts", "headers", "resp_headers"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
    )
)
def test_any_json_is_a_line_or_malformed(fields: dict[str, Any]) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse(json.dumps(NGINX | fields)), Line)


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/", True),
        ("/a/", True),
        ("/a.html", True),
        ("/index.php", True),
        ("/release/2.0", True),
        ("/.well-known/", True),
        ("/user/a.b", True),
        ("/app.css", False),
        ("/APP.JS", False),
        ("/photo.jpeg", False),
        ("/feed.xml", False),
        ("/api/v1.json", False),
        ("/.css", True),
    ],
)
def test_paths_that_end_like_files_are_no_pages(path: str, page: bool) -> None:
    assert is_page(EXPECTED, path) is page


def test_content_type_of_the_log_decides_over_the_path() -> None:
    assert is_page(EXPECTED._replace(content_type="text/html; charset=utf-8"), "/a.css")
    assert not is_page(EXPECTED._replace(content_type="application/json"), "/a/")


# --- files ---


def lines(log: LogFile, begin: int = 0, number: int = 0) -> list[tuple[bytes, int, int]]:
    """Return the text, number and end of each line."""
    found = []
    for block in log.blocks(begin, number):
        end = block.place(0) + block.skipped
        for place, text in enumerate(block.texts, 1):
            end = min(end + len(text) + 1, block.end)
            found.append((text, block.number + place, end))
        assert block.place(len(block.texts)) == end
    return found


@pytest.fixture(params=["plain", "gzip"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def save(path: Path, content: bytes, kind: str) -> str:
    path.write_bytes(gzip.compress(content) if kind == "gzip" else content)
    return str(path)


def test_lines_have_numbers_and_ends(tmp_path: Path, kind: str) -> None:
    with LogFile(save(tmp_path / "log", b"one\n\nthree\n", kind)) as log:
        assert lines(log) == [(b"one", 1, 4), (b"", 2, 5), (b"three", 3, 11)]


def test_reading_goes_on_at_any_line(tmp_path: Path, kind: str) -> None:
    content = b"".join(b"line %d\n" % n for n in range(100_000))
    name = save(tmp_path / "log", content, kind)
    with LogFile(name) as log:
        whole = lines(log)
    for start in (0, 1, 500, 80_000, 100_000):
        begin = whole[start - 1][2] if start else 0
        with LogFile(name) as log:
            assert lines(log, begin, start) == whole[start:]
    assert whole[80_000 - 1][2] > HEAD_BYTES


def test_a_line_without_an_end_is_left_in_a_file_that_may_grow(tmp_path: Path) -> None:
    with LogFile(save(tmp_path / "log", b"one\ntwo", "plain")) as log:
        assert [text for text, _, _ in lines(log)] == [b"one"]
    with LogFile(save(tmp_path / "log.gz", b"one\ntwo", "gzip")) as log:
        assert [text for text, _, _ in lines(log)] == [b"one", b"two"]


def test_a_line_without_end_takes_no_memory(tmp_path: Path, kind: str) -> None:
    with LogFile(save(tmp_path / "log", b"one\n" + b"x" * 5_000_000 + b"\ntwo\n", kind)) as log:
        found = lines(log)
    assert [number for _, number, _ in found] == [1, 2, 3]
    assert len(found[1][0]) < 500_000
    assert found[1][2] == 5_000_005
    assert found[2] == (b"two", 3, 5_000_009)


def test_a_block_is_cut_at_the_end_of_any_line(tmp_path: Path, kind: str) -> None:
    with LogFile(save(tmp_path / "log", b"\0\0one\n\nthree\nfour\n", kind)) as log:
        [block] = log.blocks()
    ends = [block.place(number) for number in range(5)]
    assert ends == [0, 6, 7, 13, 18]
    # A place within a line, as of a log that was changed, is the one before it.
    for place in range(20):
        before, after = block.cut(place)
        assert before.texts + after.texts == [b"one", b"", b"three", b"four"]
        assert before.end == after.begin == max(end for end in ends if end <= place)
        assert after.number == len(before.texts)
        assert [after.place(number) for number in range(len(after.texts) + 1)] == ends[len(before.texts) :]


def test_damaged_gzip_gives_its_good_lines_and_says_so(tmp_path: Path) -> None:
    content = b"".join(b"line %d\n" % n for n in range(200_000))
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(content)[:-50_000])
    with LogFile(str(path)) as log:
        found = lines(log)
        assert 0 < len(found) < 200_000
        assert "damaged" in log.problem


def test_head_is_the_same_in_any_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"".join(b"line %d\n" % n for n in range(10_000))
    names = [save(tmp_path / "log", content, "plain"), save(tmp_path / "log.gz", content, "gzip")]
    digests = set()
    for name in names:
        with LogFile(name) as log:
            digests.add(tuple(prints_of(log, parse)))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))
    with LogFile("-") as log:
        digests.add(tuple(prints_of(log, parse)))
        assert len(lines(log)) == 10_000
    assert len(digests) == 1


def test_an_empty_log_has_no_identity(tmp_path: Path) -> None:
    with LogFile(save(tmp_path / "log", b"", "plain")) as log:
        assert (prints_of(log, parse), lines(log)) == ([], [])


@pytest.mark.parametrize(
    ("directives", "separator"),
    [
        (r"%h %t \"%r\" %>s \"%{User-Agent}i\"", " "),
        (r'LogFormat "%h %t \"%r\" %>s \"%{User-Agent}i\"" short', " "),
        ("""'$remote_addr [$time_local] '\n    '"$request" $status "$http_user_agent"';""", " "),
        ("""log_format short '$remote_addr [$time_local] '\n'"$request" $status "$http_user_agent"';""", " "),
        (
            r"""log_format s escape=json "$remote_addr [$time_local] \"$request\" $status \"$http_user_agent\"";""",
            " ",
        ),
        ('$remote_addr\t[$time_local]\t"$request"\t$status\t"$http_user_agent"', "\t"),
        (r'$remote_addr\t[$time_local]\t"$request"\t$status\t"$http_user_agent"', "\t"),
    ],
)
def test_a_format_is_read_as_the_servers_configuration_has_it(directives: str, separator: str) -> None:
    agent = "Mozilla/5.0 (X11) Firefox"
    fields = ["203.0.113.5", "[01/May/2026:09:30:59 +0200]", '"GET /a/ HTTP/1.1"', "200", f'"{agent}"']
    line = parser_of("", directives)(separator.join(fields))
    assert line is not None
    assert (line.address, line.target, line.status, line.agent) == ("203.0.113.5", "/a/", 200, agent)


def test_values_between_tabs_have_blanks_and_signs() -> None:
    read = parser_of("", "$time_iso8601\t$http_user_agent\t$remote_addr\t$status\t$request")
    line = read("2026-05-01T09:30:59+02:00\tMozilla/5.0 (X11; +x)\t203.0.113.5\t200\tGET /a/ HTTP/1.1")
    assert line is not None
    assert (line.at, line.agent) == (1777620659.0, "Mozilla/5.0 (X11; +x)")
