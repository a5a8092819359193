"""The refresh of the pinned lists, against a server that answers as GitHub does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.data_build import upstream

pytestmark = pytest.mark.one_python

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TEXT = b"semalt.com\n"


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str | None]]:
    """Yield the tokens that a GitHub with one repository was asked with; pins and files are in ``tmp_path``."""
    asked: list[str | None] = []

    class GitHub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/repos/"):
                asked.append(self.headers["Authorization"])
            known = {"/repos/some/list/commits/HEAD": COMMIT.encode(), f"/some/list/{COMMIT}/spammers.txt": TEXT}
            body = known.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args: object) -> None:
            """Write nothing."""

    pin = {"repository": "some/list", "commit": "old", "path": "spammers.txt", "licence": "CC0-1.0", "sha256": "old"}
    (tmp_path / "upstream").mkdir()
    (tmp_path / "upstream" / "spammers.txt").write_bytes(b"old.example\n")
    (tmp_path / "upstream.json").write_text(json.dumps({"spammers.txt": pin}))
    (tmp_path / "requirements.txt").write_text("pytest==1.0\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), GitHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("API", "RAW"):
        monkeypatch.setattr(upstream, name, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(upstream, "FOLDER", tmp_path)
    monkeypatch.setattr(upstream, "PINS", tmp_path / "upstream.json")
    monkeypatch.setattr(upstream, "REQUIREMENTS", tmp_path / "requirements.txt")
    yield asked
    server.shutdown()
    server.server_close()


def test_refresh_pins_the_newest_commit_of_each_list(tokens: list[str | None], tmp_path: Path) -> None:
    assert upstream.check() == ["spammers.txt"]
    upstream.refresh()
    assert upstream.check() == []
    assert upstream.pins()["spammers.txt"]["commit"] == COMMIT
    assert (tmp_path / "upstream" / "spammers.txt").read_bytes() == TEXT
    assert (tmp_path / "requirements.txt").read_text() == f"pytest=={version('pytest')}\n"


@pytest.mark.parametrize(("token", "said"), [("secret", "Bearer secret"), ("", None)])
def test_refresh_asks_with_the_token_of_its_workflow(
    tokens: list[str | None], monkeypatch: pytest.MonkeyPatch, token: str, said: str | None
) -> None:
    monkeypatch.setenv("GH_TOKEN", token)
    upstream.refresh()
    assert tokens == [said]
