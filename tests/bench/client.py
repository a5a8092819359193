"""A staff member who asks the whole site in this process, as a server would: through its ASGI application."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from asgiref.testing import ApplicationCommunicator

SECONDS = 300.0


@dataclass(frozen=True)
class Answer:
    """The answer."""

    status: int
    ms: float
    """From the request to the last byte."""
    first_ms: float
    """To the first byte of the body."""
    queries: int
    """Without the statement that sets an option of PostgreSQL."""


class Client:
    """Asks for pages, each in a thread with database connections of its own, as in production."""

    def __init__(self) -> None:
        from django.core.asgi import get_asgi_application
        from django.db.backends.signals import connection_created

        self._application = get_asgi_application()
        self._ask: Any = ApplicationCommunicator  # without types
        self._queries: list[str] = []
        self._cookie = ""
        connection_created.connect(self._listen, weak=False)

    def _listen(self, connection: Any, **_: Any) -> None:
        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if "set_config" not in sql:
                self._queries.append(sql)
            return execute(sql, params, many, context)

        connection.execute_wrappers[:] = [note]

    async def log_in(self) -> None:
        """Make a staff member who has no other rights, and log them in."""
        from django.contrib.auth import get_user_model
        from django.test import AsyncClient

        user, _ = await get_user_model().objects.aget_or_create(username="bench", defaults={"is_staff": True})
        browser = AsyncClient()
        await browser.aforce_login(user)
        self._cookie = f"sessionid={browser.cookies['sessionid'].value}"

    async def get(self, address: str) -> Answer:
        """Ask for an address.

        Raises:
            RuntimeError: the answer is not 200.
        """
        path, _, query = address.partition("?")
        headers = {"host": "testserver", "cookie": self._cookie, "accept": "text/html"}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        self._queries.clear()
        site = self._ask(self._application, scope)
        begin = time.perf_counter()
        await site.send_input({"type": "http.request", "body": b""})
        status = (await site.receive_output(SECONDS))["status"]
        more, first = True, 0.0
        while more:
            more = (await site.receive_output(SECONDS)).get("more_body", False)
            first = first or time.perf_counter()
        end = time.perf_counter()
        await site.wait(SECONDS)
        if status != 200:
            raise RuntimeError(f"{address} was answered {status}")
        return Answer(status, (end - begin) * 1000, (first - begin) * 1000, len(self._queries))
