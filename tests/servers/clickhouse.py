"""ClickHouse's own engine (chdb) behind ClickHouse's interface for HTTP, for the client that sites use.

``python -m tests.servers.clickhouse PORT FOLDER`` serves until it is stopped.
"""

from __future__ import annotations

import base64
import re
import sys
import tempfile
from email import message_from_bytes, policy
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.servers.process import ServerProcess

USER, PASSWORD = "tracker", "a secret: p@ss/word"
ROOT = Path(__file__).parents[2]


def installed() -> bool:
    """Return whether chdb and the client are installed; chdb has no wheels for Windows."""
    return find_spec("chdb") is not None and find_spec("clickhouse_connect") is not None


class ClickHouseServer(ServerProcess):
    """The engine in a process of its own, with data that outlives it."""

    name = "clickhouse"
    start_seconds = 60.0

    @property
    def url(self) -> str:
        """For ``visit_engine``."""
        return f"clickhouse://{USER}:a%20secret%3A%20p%40ss%2Fword@127.0.0.1:{self.port}/default"

    def command(self) -> list[str]:
        """Return this module as a program."""
        return [sys.executable, "-m", __name__, str(self.port), str(self.folder / "data")]

    def directory(self) -> Path:
        """Return the checkout."""
        return ROOT

    def answers(self) -> bool:
        """Say whether it answers a ping."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def client(self) -> Any:
        """Return a new client for looking inside."""
        import clickhouse_connect

        return clickhouse_connect.get_client(host="127.0.0.1", port=self.port, username=USER, password=PASSWORD)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        client = self.client()
        try:
            return list(client.query(query).result_rows)
        finally:
            client.close()

    def clear(self) -> None:
        """Drop all tables."""
        client = self.client()
        for (name,) in client.query("SELECT name FROM system.tables WHERE database = 'default'").result_rows:
            client.command(f"DROP TABLE `{name}` SYNC")
        client.close()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    engine: Any
    lock = Lock()

    def do_GET(self) -> None:
        """Answer a ping, or a query in the address."""
        if self.path == "/ping":
            self._answer(200, b"Ok.\n")
        else:
            self.do_POST()

    def do_POST(self) -> None:
        """Run a statement: of the address or the form, with what follows it in the body."""
        body = self._body()
        fields = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if self.headers.get_content_type() == "multipart/form-data":
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            for part in message_from_bytes(head + body, policy=policy.HTTP).iter_parts():
                name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
                assert isinstance(name, str)
                assert isinstance(content, bytes)
                fields[name] = content.decode()
            body = b""
        given = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if given != f"{USER}:{PASSWORD}":
            self._refuse("Code: 516. DB::Exception: Authentication failed (AUTHENTICATION_FAILED)")
            return
        try:
            answer = self._run(fields, body)
        except Exception as error:
            self._refuse(str(error))
        else:
            self._answer(200, answer)

    def _run(self, fields: dict[str, str], body: bytes) -> bytes:
        statement = fields.get("query", "").encode() + body
        values = {name[6:]: value for name, value in fields.items() if name.startswith("param_")}
        # Data follow the format's name and a newline.
        insert = re.match(rb"\s*(INSERT\s+INTO\s[^;]*?)\bFORMAT\s+(\w+)\s*?\n", statement, re.IGNORECASE)
        if insert:
            with tempfile.NamedTemporaryFile() as file:
                file.write(statement[insert.end() :])
                file.flush()
                query = f"{insert[1].decode()} FROM INFILE '{file.name}' FORMAT {insert[2].decode()}"
                return self._ask(query, "TabSeparated", {})
        query = statement.decode()
        found = re.search(r"\s+FORMAT\s+(\w+)\s*$", query)
        if found:
            query = query[: found.start()]
        if "max_execution_time" in fields:
            query += f" SETTINGS max_execution_time = {fields['max_execution_time']}"
        return self._ask(query, found[1] if found else "TabSeparated", values)

    def _ask(self, query: str, kind: str, values: dict[str, str]) -> bytes:
        with self.lock:
            return bytes(self.engine.query(query, kind, params=values).bytes())

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _refuse(self, message: str) -> None:
        code = re.search(r"Code: (\d+)", message)
        self._answer(500, message.encode(), {"X-ClickHouse-Exception-Code": code[1] if code else "0"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    from importlib import import_module

    # Not imported by name: it is typed or not, depending on the order in which its two wheels are installed.
    Handler.engine = import_module("chdb").connect(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
