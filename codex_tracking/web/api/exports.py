"""The export of whole tables."""

from __future__ import annotations

from functools import partial

from django.http.response import HttpResponseBase

from codex_tracking.stats.selected.figures import select
from codex_tracking.stats.values.ranking import AnyDimension, Order, orders_of
from codex_tracking.web.api import files, filtered, tables
from codex_tracking.web.api.endpoint import Call
from codex_tracking.web.errors import QueryError


async def answer_export(call: Call) -> HttpResponseBase:
    """Return a whole table as a file."""
    table, kind = call.values["table"], call.values["format"]
    from_log = filtered.from_log(call, "table", ("days", "hours"))
    if table not in ("days", "hours"):
        require_order(call.values["order"], table, bool(call.filters))
    options = {"order": call.values["order"], "search": call.values.get("search", "").strip()}
    if "path" in call.values:
        if table != "page_source":
            raise QueryError("path", "left out, except with the table page_source", call.values["path"])
        # The tab ends the path: without it, /a would have the sources of /a/b as well.
        options["within"] = f"{call.values['path']}\t"
    # JSON must not begin with one, RFC 8259, section 8.1.
    begin = files.BOM if kind == "csv" and call.values["bom"] == "true" else ""
    name = f"{table}_{call.period.start}_{call.period.end}"
    if not from_log:
        look = tables.reader_of(table, call.period, **options)
        file = await files.spooled(call.period.days, look, kind, begin)
        return files.response_of(call.request, file, name, kind)
    selected = tables.log_reader_of(table, call.period, **options)
    found = await files.spooled_by(partial(select, call.filters), selected, kind, begin)
    name += "_filtered" if call.filters else ""
    # A file has no place for a remark, so that its name tells that days are missing.
    name += "" if found.coverage is None or found.coverage.complete else "_incomplete"
    return files.response_of(call.request, found.value, name, kind)


def require_order(order: Order, dimension: AnyDimension, filtered: bool) -> None:
    """Refuse an order that a dimension's values cannot have, or not those of visits that filters select.

    Raises:
        QueryError: it is another one.
    """
    known = orders_of(dimension, filtered)
    if order not in known:
        raise QueryError("order", f"one of {', '.join(known)}", order)
