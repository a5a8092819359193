"""The server of ``visit_engine`` behind TLS: its certificate is checked, and what is wrong with it is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from codex_tracking.checks.engine import check_visit_engine_answers
from codex_tracking.visits.clickhouse.server import EngineError, connect
from tests.servers import ClickHouseServer
from tests.servers.tls import TLS, certificate, installed

pytestmark = [
    pytest.mark.one_python,
    pytest.mark.skipif(not installed(), reason="openssl, which makes certificates, is not installed"),
]


@pytest.fixture
def behind(
    clickhouse: ClickHouseServer, tmp_path: Path, tracking_settings: Callable[..., None]
) -> Iterator[Callable[..., Path]]:
    """Return a function that puts a certificate in front of the server, sets its address and returns the former."""
    with ExitStack() as stack:

        def put(name: str = "IP:127.0.0.1", trusted: bool = True, scheme: str = "clickhouses") -> Path:
            made, key = certificate(tmp_path, name)
            tls = stack.enter_context(TLS(clickhouse.port, made, key))
            plain = clickhouse.url.replace("clickhouse:", f"{scheme}:").replace(f":{clickhouse.port}", f":{tls.port}")
            tracking_settings(visit_engine=f"{plain}?ca_cert={quote(str(made))}" if trusted else plain)
            return made

        yield put


def test_a_server_whose_certificate_is_trusted_answers(behind: Callable[..., Path]) -> None:
    behind()
    assert connect().rows("SELECT 1") == [(1,)]
    assert check_visit_engine_answers(None, ["default"]) == []


@pytest.mark.parametrize(
    ("name", "trusted", "reason"),
    [
        ("IP:127.0.0.1", False, "its certificate is refused: self-signed certificate"),
        ("DNS:other.example", True, "its certificate is refused: IP address mismatch"),
    ],
)
def test_a_server_whose_certificate_is_not_is_refused_with_the_reason(
    behind: Callable[..., Path], name: str, trusted: bool, reason: str
) -> None:
    behind(name, trusted)
    with pytest.raises(EngineError, match=reason):
        connect()
    [found] = check_visit_engine_answers(None, ["default"])
    assert found.id == "codex_tracking.W013"
    assert reason in found.msg
    assert "ca_cert" in str(found.hint)
    assert "secret" not in str(found)


def test_a_port_without_tls_is_named(clickhouse: ClickHouseServer, tracking_settings: Callable[..., None]) -> None:
    tracking_settings(visit_engine=clickhouse.url.replace("clickhouse:", "clickhouses:"))
    with pytest.raises(EngineError, match="it speaks no TLS on this port"):
        connect()


def test_a_missing_file_of_certificates_is_named(behind: Callable[..., Path]) -> None:
    behind().unlink()
    with pytest.raises(EngineError, match="the file of ca_cert cannot be read"):
        connect()


def test_a_port_with_tls_is_no_server_without(behind: Callable[..., Path]) -> None:
    behind(trusted=False, scheme="clickhouse")
    with pytest.raises(EngineError):
        connect()
