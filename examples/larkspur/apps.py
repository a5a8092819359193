"""The site's app: it adds a card of its own to the dashboard."""

from __future__ import annotations

from django.apps import AppConfig


class LarkspurConfig(AppConfig):
    """Declares the card and the provider that fills it."""

    name = "larkspur"

    def ready(self) -> None:
        from larkspur import dashboard  # noqa: F401
