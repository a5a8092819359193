"""Providers of the dashboard's data: this app's and the project's, run concurrently."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, ClassVar, TypeVar, cast

from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.http import HttpRequest
from django.utils.translation import get_language

logger = logging.getLogger(__name__)

PROVIDER = "tracking_analytics"
"""The name of this app's own provider."""

Provider = Callable[[HttpRequest], Awaitable[dict[str, Any]] | dict[str, Any]]
ProviderT = TypeVar("ProviderT", bound=Provider)


@dataclass(frozen=True, slots=True)
class _Registered:
    ask: Provider
    cache_ttl: int


class DashboardProviders:
    """The registered providers, in the order of their registration."""

    _providers: ClassVar[dict[str, _Registered]] = {}

    @classmethod
    def extend(cls, *, cache_key: str = "", cache_ttl: int = 0) -> Callable[[ProviderT], ProviderT]:
        """Register a coroutine (or a plain function, which then runs in a thread) as a provider.

        It gets the request and returns a dictionary that is merged into the dashboard's template context::

            @DashboardProviders.extend(cache_key="shop", cache_ttl=60)
            async def orders_today(request):
                return {"orders_today": MetricWidgetData(label="Orders today", value=str(await count_orders()))}

        Args:
            cache_key: The provider's name; the function's name when empty. A second one of a name replaces the first.
            cache_ttl: Seconds in Django's default cache, per language and shared by all who see the dashboard; 0 asks
                every time, which data that depends on the user needs.
        """

        def register(provider: ProviderT) -> ProviderT:
            cls._providers[cache_key or provider.__name__] = _Registered(provider, cache_ttl)
            return provider

        return register

    @classmethod
    def remove(cls, cache_key: str) -> None:
        """Remove a provider, if it is registered; for tests and for apps that are switched off."""
        cls._providers.pop(cache_key, None)

    @classmethod
    async def get_context(cls, request: HttpRequest, without: Collection[str] = ()) -> dict[str, Any]:
        """Run all providers at once and merge their results; a later provider overrides an earlier one.

        A provider that fails is logged, and its keys are missing.
        """
        asked = [(name, provider) for name, provider in cls._providers.items() if name not in without]
        answers = await asyncio.gather(*(_answer(name, provider, request) for name, provider in asked))
        return {key: value for answer in answers for key, value in answer.items()}


async def _answer(name: str, provider: _Registered, request: HttpRequest) -> dict[str, Any]:
    # A project's provider may raise anything; the other cards are shown all the same.
    try:
        if not provider.cache_ttl:
            return await _ask(provider.ask, request)
        # Labels in the payload are translated.
        key = f"codex_tracking:dashboard:{name}:{get_language()}"
        answer: dict[str, Any] | None = await cache.aget(key)
        if answer is None:
            answer = await _ask(provider.ask, request)
            await cache.aset(key, answer, provider.cache_ttl)
        return answer
    except Exception:
        logger.exception("The dashboard provider %r failed; its cards are left empty.", name)
        return {}


async def _ask(provider: Provider, request: HttpRequest) -> dict[str, Any]:
    ask = provider if iscoroutinefunction(provider) else sync_to_async(provider)
    answer = await cast("Callable[[HttpRequest], Awaitable[dict[str, Any]]]", ask)(request)
    if not isinstance(answer, dict):
        raise TypeError(f"a provider must return a dictionary, not {type(answer).__name__}")
    return answer
