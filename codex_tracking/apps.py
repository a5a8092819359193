"""The Django app's configuration."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TrackingConfig(AppConfig):
    """Registers system checks, cabinet declarations and dashboard providers."""

    name = "codex_tracking"
    label = "codex_tracking"
    verbose_name = _("Page views")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import the modules that register checks, declarations and providers; register the metrics."""
        from codex_tracking import cabinet, providers  # noqa: F401
        from codex_tracking.checks import database, deployment, engine, pages, redis, traffic  # noqa: F401
        from codex_tracking.isolation import remember_databases
        from codex_tracking.settings import get_tracking_settings

        remember_databases()
        wanted = get_tracking_settings().metrics
        if wanted:
            from codex_tracking.pipeline.metrics import register

            register(wanted)
