"""A database router that tests turn to one database."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Model


class PinnedRouter:
    """Send the models of ``codex_tracking`` to ``alias``; all other models stay in place."""

    alias: ClassVar[str] = "default"
    replica: ClassVar[str] = ""
    """The alias that reads use instead, when it is set."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        """Return the replica for our models, or the pinned alias without one."""
        return (self.replica or self.alias) if model._meta.app_label == "codex_tracking" else None

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        """Return the pinned alias for our models."""
        return self.alias if model._meta.app_label == "codex_tracking" else None

    def allow_relation(self, *objects: Model, **hints: Any) -> bool | None:
        """Have no opinion."""
        return None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """Have no opinion: all tables are made in all databases."""
        return None
