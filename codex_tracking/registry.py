"""Declarations for the cabinet: navigation entries and dashboard widgets of this app and of the project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from django.utils.functional import Promise

MODULE = "tracking"
"""The module name of this app's own declarations."""

SPACES = ("staff", "client")
TOPBAR_GROUPS = ("admin", "services")
NAV_GROUPS = ("admin", "services", "client")


@dataclass(frozen=True, slots=True)
class TopbarEntry:
    """A link in the cabinet's header."""

    group: str
    """``admin`` or ``services``."""
    label: str | Promise
    icon: str
    """Name of a Bootstrap icon, such as ``bi-bar-chart``."""
    url: str | Promise
    """A path, an absolute URL or the name of a URL pattern."""
    order: int = 99

    def __post_init__(self) -> None:
        _require("TopbarEntry.group", self.group, TOPBAR_GROUPS)


@dataclass(frozen=True, slots=True)
class SidebarItem:
    """A link between the pages of one module."""

    label: str | Promise
    url: str | Promise
    """A path, an absolute URL or the name of a URL pattern."""
    icon: str = ""
    order: int = 99
    permissions: tuple[str, ...] = ()
    """Shown to users who have one of these; to everyone in the space when empty."""


@dataclass(frozen=True, slots=True)
class DashboardWidget:
    """A card on the dashboard: a template, and the provider's key with the value for its variable ``data``."""

    template: str
    context_key: str | None = None
    col: str = "col-lg-6"
    """Width as ``col-<breakpoint>-<twelfths>``; one column below the breakpoint."""
    nav_group: str = "admin"
    """``admin``, ``services`` or ``client``."""
    permissions: tuple[str, ...] = ()
    """Shown to users who have one of these; to everyone in the space when empty."""
    order: int = 99

    def __post_init__(self) -> None:
        _require("DashboardWidget.nav_group", self.nav_group, NAV_GROUPS)


@dataclass(frozen=True, slots=True)
class Declaration:
    """One module's entries and cards in one space."""

    topbar: TopbarEntry | None
    sidebar: tuple[SidebarItem, ...]
    dashboard_widgets: tuple[DashboardWidget, ...]


# In the order of declaration, which decides between entries of the same order.
_declarations: dict[tuple[str, str], Declaration] = {}


def declare(
    module: str,
    space: str = "staff",
    topbar: TopbarEntry | None = None,
    sidebar: Sequence[SidebarItem] = (),
    dashboard_widgets: Sequence[DashboardWidget | str] | DashboardWidget | str = (),
) -> None:
    """Declare a module's entries and cards; a second call for a module replaces the first.

    Call it from ``AppConfig.ready()``.

    Args:
        module: A name of the project's choice, such as the app's label.
        space: ``staff`` or ``client``.
        topbar: The module's link in the header.
        sidebar: Links between the module's pages.
        dashboard_widgets: Cards for the dashboard; a string is a template's name.

    Raises:
        ImproperlyConfigured: ``space`` is neither ``staff`` nor ``client``, or another argument has a wrong type.
    """
    _require("declare(space=...)", space, SPACES)
    if isinstance(dashboard_widgets, DashboardWidget | str):
        dashboard_widgets = [dashboard_widgets]
    # Here, where the traceback names the module, and not when somebody opens the dashboard.
    _require_types("topbar", [] if topbar is None else [topbar], TopbarEntry)
    _require_types("sidebar", sidebar, SidebarItem)
    _require_types("dashboard_widgets", dashboard_widgets, DashboardWidget, str)
    _declarations[(space, module)] = Declaration(
        topbar=topbar,
        sidebar=tuple(sorted(sidebar, key=lambda item: item.order)),
        dashboard_widgets=tuple(
            DashboardWidget(template=widget) if isinstance(widget, str) else widget for widget in dashboard_widgets
        ),
    )


def withdraw(module: str, space: str = "staff") -> None:
    """Remove a module's declaration, if there is one; for tests and for modules that are switched off."""
    _declarations.pop((space, module), None)


def topbar_entries(space: str = "staff") -> list[TopbarEntry]:
    """Return a space's header links, by group and order."""
    entries = [found.topbar for (where, _), found in _declarations.items() if where == space and found.topbar]
    return sorted(entries, key=lambda entry: (entry.group, entry.order))


def sidebar_items(module: str, space: str = "staff") -> list[SidebarItem]:
    """Return the links between a module's pages, by order."""
    found = _declarations.get((space, module))
    return list(found.sidebar) if found else []


def dashboard_widgets(space: str = "staff", without: str = "") -> list[DashboardWidget]:
    """Return a space's cards by order, leaving out those of the module ``without``."""
    cards = [
        card
        for (where, module), found in _declarations.items()
        if where == space and module != without
        for card in found.dashboard_widgets
    ]
    return sorted(cards, key=lambda card: card.order)


def _require_types(argument: str, values: Sequence[object], *types: type) -> None:
    for value in values:
        if not isinstance(value, types):
            names = " or ".join(kind.__name__ for kind in types)
            raise ImproperlyConfigured(f"declare({argument}=...) takes {names}, not {value!r}.")


def _require(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ImproperlyConfigured(f"{what} must be one of {', '.join(choices)}, not {value!r}.")
