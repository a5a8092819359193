"""Query, menu, filters and saved rows of the pages about the visit log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from codex_tracking.models import Funnel, Saved, Segment
from codex_tracking.stats.reading import Coverage
from codex_tracking.web.access import saved
from codex_tracking.web.access.saved import SavedT
from codex_tracking.web.access.viewer import Viewer
from codex_tracking.web.dashboard.addresses import query_string
from codex_tracking.web.dashboard.loader import query_of
from codex_tracking.web.dashboard.menu import Menu, menu_of
from codex_tracking.web.dashboard.visits.chips import Chips, chips_of
from codex_tracking.web.query import Query

Pairs = Sequence[tuple[str, str]]
"""Parameters of an address, some of them repeated."""

EMPTY: dict[type[Saved], Promise] = {
    Segment: gettext_lazy("A segment needs one filter at least."),
    Funnel: gettext_lazy("A funnel needs two steps at least."),
}
"""Kind of what is saved -> its condition."""


async def visits_query(request: HttpRequest, viewer: Viewer) -> Query:
    """Return the query of a page about visits, whose steps are those of visits and not of a graph.

    Raises:
        QueryError: a parameter is wrong.
    """
    params = {name: value for name, value in request.GET.dict().items() if name != "step"}
    return await query_of(params, viewer, request.GET.getlist("f"))


def with_pairs(address: str, pairs: Pairs) -> str:
    """Return an address with further parameters; an empty address stays empty."""
    if not address or not pairs:
        return address
    return f"{address}{'' if address.endswith('?') else '&'}{urlencode(pairs)}"


def address_of(query: Query, pairs: Pairs = (), root: str = "") -> str:
    """Return a query as an address that begins with ``root``, followed by further parameters."""
    return root + with_pairs(query_string(query), pairs)


def pairs_of(address: str) -> Pairs:
    """Return the parameters of an address, for the hidden fields of a form."""
    # A form with GET replaces the query of its address (WHATWG HTML, "mutate action URL").
    return parse_qsl(address.partition("?")[2], keep_blank_values=True)


def menu_with(query: Query, pairs: Pairs) -> Menu:
    """Return the menu of periods, whose links and form keep further parameters."""
    # Visits of two periods are not compared on these pages.
    menu = menu_of(query, None)
    return replace(
        menu,
        periods=tuple(replace(link, url=with_pairs(link.url, pairs)) for link in menu.periods),
        earlier=with_pairs(menu.earlier, pairs),
        later=with_pairs(menu.later, pairs),
        hidden=(*menu.hidden, *pairs),
    )


def frame_of(query: Query, pairs: Pairs) -> dict[str, Any]:
    """Return the template's context that pages about visits share; ``pairs`` are their own parameters."""
    return {
        "query": query,
        "dashboard": address_of(query),
        "menu": menu_with(query, pairs),
        "hidden": pairs_of(address_of(query)),
    }


def filters_with(query: Query, coverage: Coverage | None, pairs: Pairs) -> Chips | None:
    """Return the filters of a page, whose links and form keep further parameters; None without a visit log."""
    found = chips_of(query, coverage)
    if found is None:
        return None
    return replace(
        found,
        chips=tuple(
            replace(chip, turn=with_pairs(chip.turn, pairs), remove=with_pairs(chip.remove, pairs))
            for chip in found.chips
        ),
        clear=with_pairs(found.clear, pairs),
        hidden=(*found.hidden, *pairs),
    )


# --- what staff saved ---


def keep(
    request: HttpRequest,
    viewer: Viewer,
    model: type[SavedT],
    save: Callable[[str, str], object],
    change: Callable[[SavedT, str, bool], bool],
) -> str | None:
    """Save, change or delete a row as a form asks; blocking.

    Args:
        save: takes the name and the user's name, and raises ``ValueError``.
        change: takes the row, its name, and whether it gets what the page shows; as ``saved.change_segment``.

    Returns:
        Why it could not be saved; empty when all was done; None for a request without a form.

    Raises:
        PermissionDenied: they may not.
        Http404: there is no such row.
    """
    if request.method != "POST":
        return None
    name = request.POST.get("name", "")
    if "delete" in request.POST:
        saved.delete(model, _row_of(request.POST["delete"], model, viewer.may_delete).pk)
        return ""
    if "change" in request.POST:
        row = _row_of(request.POST["change"], model, viewer.may_change)
        return _refusal(model, lambda: _found(change(row, name, "replace" in request.POST)))
    if not viewer.may_save(model):
        raise PermissionDenied
    return _refusal(model, lambda: save(name, str(viewer.user)))


def _row_of(primary_key: str, model: type[SavedT], may: Callable[[SavedT], bool]) -> SavedT:
    row = saved.find(model, primary_key)
    if row is None:
        raise Http404
    if not may(row):
        raise PermissionDenied
    return row


def _found(found: bool) -> None:
    if not found:
        raise Http404


def _refusal(model: type[Saved], act: Callable[[], object]) -> str:
    """Return why a row could not be saved; empty when it was."""
    try:
        act()
    except saved.TakenError:
        return _("This name is taken. Delete the other one first, or use another name.")
    except saved.EmptyError:
        return str(EMPTY[model])
    except ValueError:
        return _("A name has 1 to %(name)s characters without controls.") % {"name": saved.LONGEST_NAME}
    return ""


def saved_rows(viewer: Viewer, model: type[SavedT], address: Callable[[SavedT], str]) -> dict[str, Any]:
    """Return the template's context for all rows of a table: each with its address; blocking."""
    rows = [(row, address(row), viewer.may_change(row), viewer.may_delete(row)) for row in saved.saved(model)]
    return {"saved": rows, "may_save": viewer.may_save(model)}
