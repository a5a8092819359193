"""A middleware that gives a host its own addresses, as django-hosts does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class Hosts:
    """Answers ``second.testserver`` from ``tests.site.scripted``."""

    async_capable = True
    sync_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Choose the addresses by the host."""
        if request.get_host() == "second.testserver":
            request.urlconf = "tests.site.scripted"
        return await self.get_response(request)
