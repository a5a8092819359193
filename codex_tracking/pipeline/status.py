"""The state of the pipeline: waiting counters with their age, outages, and dropped counters."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from asgiref.sync import sync_to_async
from django.db import Error
from django.db.models import Max, Sum

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.days import accepted_days, site_today
from codex_tracking.counters.ledger import ledger
from codex_tracking.hits.freshness import lists_date
from codex_tracking.models import Breakdown, DayTotals, database
from codex_tracking.settings import get_tracking_settings
from codex_tracking.store import server
from codex_tracking.store.client import REFUSALS, STORE_ERRORS
from codex_tracking.store.loops import get_store
from codex_tracking.store.protocol import Store
from codex_tracking.tables.exclusions import LEFT_OUT
from codex_tracking.visits.engines import EngineStatus, engine
from codex_tracking.visits.equality import LogFault, log_faults


@dataclass(frozen=True)
class StoreStatus:
    """The state of Redis."""

    reachable: bool
    kind: str
    """``redis`` or ``embedded``."""
    version: str = ""
    latency_ms: float = 0.0
    lease_holder: str = ""
    """Host and process id of the last flush."""
    unflushed_views: dict[str, int] = field(default_factory=dict)
    """ISO date -> views that no flush has written yet."""
    oldest_unflushed: float = 0.0
    """Time of the oldest of them, seconds since the epoch; 0 when there is none."""
    error: str = ""
    """Name of the error that keeps this store from being read, or from taking counters."""


@dataclass(frozen=True)
class Status:
    """The whole pipeline at one moment."""

    store: StoreStatus
    database_reachable: bool
    last_flush: float
    """Seconds since the epoch; 0 when there was none."""
    views_today: int
    """In the database."""
    excluded: dict[str, int]
    """Reason -> today's requests that were not page views, as far as they are flushed."""
    left_out: dict[str, int]
    """Today's ledger, as far as it is flushed: dropped counters by reason, and failures."""
    process: dict[str, int]
    """Ledger of this process since its start; ``failing_seconds`` while its pushes fail."""
    oldest_unpushed: float
    """Time of the oldest hit in this process's memory, seconds since the epoch; 0 when none waits."""
    lists_date: str
    """ISO date of the built-in lists of bots, sites and spam."""
    visit_log: tuple[LogFault, ...] = ()
    """Differences between visit log and counters on the last finished days, without losses that the ledger has."""
    visit_engine: EngineStatus | None = None
    """The state of the server of ``visit_engine``; None without one, and while the database is away."""

    @property
    def healthy(self) -> bool:
        """Whether Redis takes counters, the database answers, and nothing has waited for three flushes or longer."""
        waited = time.time() - self.store.oldest_unflushed if self.store.oldest_unflushed else 0.0
        in_time = waited < max(60.0, 3 * get_tracking_settings().flush_interval)
        pushing = self.store.reachable and not self.store.error and not self.process.get("failing_seconds")
        return pushing and self.database_reachable and in_time

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {"healthy": self.healthy, **asdict(self)}


async def tracking_status() -> Status:
    """Return the state of the pipeline; reports stores that are away, and raises no errors for them.

    Source: Redis, the database, and the ledger of this process.
    """
    store = await look_at_store()
    # After Redis: a flush in between moves counters to the database, and a view may show twice but is never missing.
    try:
        last_flush, views, excluded, left_out = await sync_to_async(look_at_database)()
        faults = await sync_to_async(log_faults)()
        log_engine = await sync_to_async(look_at_engine)()
        reachable = True
    except Error:
        last_flush, views, excluded, left_out, faults, log_engine, reachable = 0.0, 0, {}, {}, (), None, False
    return Status(
        store,
        reachable,
        last_flush,
        views,
        excluded,
        left_out,
        process_counts(),
        get_buffer().oldest(),
        lists_date().isoformat(),
        faults,
        log_engine,
    )


def process_counts() -> dict[str, int]:
    """Return the ledger of this process, with the seconds for which its pushes have failed."""
    # A second at least: 0 would read as no failure.
    counts = ledger.snapshot()
    if ledger.failing_since:
        counts["failing_seconds"] = max(1, round(time.time() - ledger.failing_since))
    return counts


async def eviction_policy() -> str:
    """Return Redis' ``maxmemory-policy``; empty if unknown.

    Raises:
        One of ``client.STORE_ERRORS``: Redis is away.
    """
    return await server.eviction_policy(get_store())


async def store_version() -> str:
    """Return the version of Redis or Valkey; empty if unknown, as for the embedded store.

    Raises:
        One of ``client.STORE_ERRORS``: Redis is away.
    """
    return await server.server_version(get_store())


async def store_refusal() -> str:
    """Return the name of the error with which Redis refuses a push; empty when it takes one.

    Raises:
        One of ``client.STORE_ERRORS``: Redis is away.
    """
    return await refusal_of(get_store())


async def store_site(proposed: str) -> str:
    """Return the site that uses the prefix in Redis: ``proposed`` when there was none.

    Raises:
        One of ``client.STORE_ERRORS``: Redis is away, or refuses writes.
    """
    try:
        return await server.site_of(get_store(), proposed)
    except REFUSALS:
        # Another message says it.
        return proposed


async def look_at_store() -> StoreStatus:
    """Return the state of Redis."""
    kind = "embedded" if get_tracking_settings().embedded else "redis"
    try:
        store = get_store()
        begin = time.perf_counter()
        await store.ping()
        latency = (time.perf_counter() - begin) * 1000
        waiting = await store.waiting(accepted_days(site_today().isoformat()))
        holder, version = await store.lease_holder(), await server.server_version(store)
        # A Redis that answers may still refuse writes: with a full memory, as a replica, or by an ACL.
        refusal = await refusal_of(store)
    except (*STORE_ERRORS, ValueError) as error:
        return StoreStatus(False, kind, error=type(error).__name__)
    unflushed = {day: sums.views for day, sums in waiting.items() if sums.views}
    oldest = float(min((sums.oldest for sums in waiting.values()), default=0))
    return StoreStatus(True, kind, version, round(latency, 2), holder, unflushed, oldest, refusal)


async def refusal_of(store: Store) -> str:
    """Return the name of the error with which Redis refuses counters; empty when it takes them."""
    try:
        await server.probe(store)
    except REFUSALS as error:
        return type(error).__name__
    return ""


def look_at_database() -> tuple[float, int, dict[str, int], dict[str, int]]:
    """Return last flush, today's views, exclusions and ledger; blocking."""
    alias, today = database(), site_today()
    days = DayTotals.objects.using(alias)
    newest = days.aggregate(newest=Max("flushed_at"))["newest"]
    views = days.filter(date=today).aggregate(views=Sum("views"))["views"] or 0
    rows = Breakdown.objects.using(alias).filter(date=today).order_by("value")
    excluded = dict(rows.filter(dimension="excluded").values_list("value", LEFT_OUT))
    left_out = dict(rows.filter(dimension="ledger").values_list("value", "views"))
    return newest.timestamp() if newest else 0.0, views, excluded, left_out


def look_at_engine() -> EngineStatus | None:
    """Return the state of the server of ``visit_engine``, None without one or without a visit log; blocking."""
    return engine().status() if get_tracking_settings().visit_log_days else None
