"""A tally of what was sent, to be compared with what was counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Requests by what has to become of them."""

    views: Counter[str] = field(default_factory=Counter)
    """Path -> page views."""
    errors: Counter[str] = field(default_factory=Counter)
    """``404 /path`` -> how often people met it."""
    excluded: Counter[str] = field(default_factory=Counter)
    """Reason -> requests that are no page views."""

    def add(self, path: str, fate: str) -> None:
        """Note one request, ``path`` without its query."""
        if fate == "view":
            self.views[path] += 1
            return
        if fate == "error":
            self.errors[f"404 {path}"] += 1
        self.excluded["status" if fate == "error" else fate] += 1

    def update(self, other: Tally) -> None:
        """Add another tally to this one."""
        self.views.update(other.views)
        self.errors.update(other.errors)
        self.excluded.update(other.excluded)

    def rows(self) -> dict[str, int]:
        """Return the figures to print: views, errors and each reason."""
        reasons = {f"not counted: {reason}": n for reason, n in sorted(self.excluded.items())}
        return {"page views": self.views.total(), "errors people met": self.errors.total()} | reasons
