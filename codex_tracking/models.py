"""The tables: aggregates, which grow with distinct values per day and not with traffic."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date as Date
from typing import Any, ClassVar

from django.db import models, router, transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

# Django looks for tables here alone.
import codex_tracking.rollups  # noqa: F401


class PageView(models.Model):
    """One path's views on one day."""

    path = models.CharField(_("path"), max_length=500)
    date = models.DateField(_("date"), db_index=True)
    views = models.PositiveBigIntegerField(_("views"), default=0)
    visitors = models.PositiveBigIntegerField(_("visitors"), default=0, db_default=0)
    # Null: no flush wrote this row, so live counts override it instead of adding to it.
    own = models.PositiveSmallIntegerField(null=True, default=None, editable=False)

    class Meta:
        verbose_name = _("Page view")
        verbose_name_plural = _("Page views")
        constraints = [models.UniqueConstraint(fields=["path", "date"], name="codex_tracking_pageview_path_date_uniq")]
        ordering = ["-date", "-views", "path"]

    def __str__(self) -> str:
        return f"{self.date} {self.path} - {self.views}"


class Breakdown(models.Model):
    """One value of one dimension on one day: views, and the visits that began with it."""

    date = models.DateField(_("date"))
    dimension = models.CharField(_("dimension"), max_length=20)
    # 700 four-byte characters would be too long for an index; ``counters.fields`` cuts pairs to their bytes.
    value = models.CharField(_("value"), max_length=700)
    views = models.PositiveBigIntegerField(_("views"), default=0)
    visits = models.PositiveBigIntegerField(_("visits"), default=0)

    class Meta:
        verbose_name = _("Breakdown")
        verbose_name_plural = _("Breakdowns")
        constraints = [
            models.UniqueConstraint(fields=["dimension", "date", "value"], name="codex_tracking_breakdown_uniq"),
        ]
        ordering = ["-date", "dimension", "-views", "-visits", "value"]

    def __str__(self) -> str:
        return f"{self.date} {self.dimension} {self.value} - {self.views}"


class DayTotalsManager(models.Manager["DayTotals"]):
    """Locks days, and keeps their totals equal to the sums of their rows."""

    def lock(self, days: Iterable[Date], using: str) -> list[DayTotals]:
        """Lock ``days`` until the transaction ends, and return their rows, oldest first.

        Must be the transaction's first statement: after a read, MariaDB might show rows as they were before a flush.
        """
        rows, ordered = self.using(using), sorted(days)
        # Always in the same order, so that no two transactions wait for each other.
        for day in ordered:
            # An update locks its row on every database; SQLite ignores select_for_update.
            if not rows.filter(date=day).update(locks=models.F("locks") + 1):
                rows.bulk_create([DayTotals(date=day)], ignore_conflicts=True)
                rows.filter(date=day).update(locks=models.F("locks") + 1)
        return list(rows.filter(date__in=ordered).order_by("date"))

    def recount(self, dates: set[Date]) -> None:
        """Recompute the days' totals after rows of ``PageView`` were changed by hand."""
        using = router.db_for_write(DayTotals)
        for day in sorted(dates):
            with transaction.atomic(using=using):
                [totals] = self.lock([day], using)
                # Rows made by hand are no part of the total; reads add them.
                own = PageView.objects.using(using).filter(date=day, own__isnull=False)
                totals.views, totals.listed = own.aggregate(views=Sum("views"))["views"] or 0, False
                totals.save(using=using, update_fields=["views", "listed"])


class DayTotals(models.Model):
    """One day's totals; the row is also the lock that serializes writes to the day."""

    date = models.DateField(_("date"), primary_key=True)
    views = models.PositiveBigIntegerField(_("views"), default=0)
    """Sum over the rows of ``PageView`` that flushes wrote."""
    visitors = models.PositiveBigIntegerField(_("visitors"), default=0)
    """Estimate, standard error 0.81 %."""
    visits = models.PositiveBigIntegerField(_("visits"), default=0)
    engaged = models.PositiveBigIntegerField(_("engaged visits"), default=0)
    """Visits that were not a bounce."""
    seconds = models.PositiveBigIntegerField(_("seconds"), default=0)
    """Duration of all visits."""
    sketch = models.BinaryField(null=True, default=None, editable=False)
    """Dense HyperLogLog of the visitors, as Redis keeps it."""
    rows = models.JSONField(default=dict, editable=False)
    """Dimension -> upper bound of the number of its values, so that a flush need not count them."""
    locks = models.PositiveBigIntegerField(default=0, editable=False)
    flushed_at = models.DateTimeField(_("flushed at"), null=True, default=None, editable=False)
    listed = models.BooleanField(default=False, editable=False)
    """Whether the day's most viewed pages in ``Breakdown`` are up to date; see ``tables.toplists``."""
    top: models.JSONField[Any, Any] = models.JSONField(null=True, default=None, editable=False)
    """The most viewed pages of a day that is not listed yet, as of a number of ``locks``; see ``tables.toplists``."""

    objects: ClassVar[DayTotalsManager] = DayTotalsManager()

    class Meta:
        verbose_name = _("Day")
        verbose_name_plural = _("Days")
        ordering = ["-date"]

    def __str__(self) -> str:
        return f"{self.date} - {self.views}"


class Generation(models.Model):
    """The seals and batches that the database has of one generation, the life of a day's counters in Redis."""

    date = models.DateField()
    token = models.CharField(max_length=64)
    last = models.CharField(max_length=64, default="")
    """Id of the last seal applied."""
    acked: models.JSONField[dict[str, int], dict[str, int]] = models.JSONField(default=dict)
    """Stream -> last batch that the rows contain."""
    closed = models.BooleanField(default=False)
    """Its processes wrote their batches to the database themselves; flushes drop its counters in Redis."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["date", "token"], name="codex_tracking_generation_uniq")]

    def __str__(self) -> str:
        return f"{self.date} {self.token}"


class LogPart(models.Model):
    """A part of the visit log that is not packed yet: the hits of one seal or one settlement."""

    date = models.DateField(db_index=True)
    seal = models.CharField(max_length=64)
    """Names the seal, or the stream and its last batch, that it was written for, so that none is written twice."""
    data = models.BinaryField()
    """Blobs of ``counters.hit_log``, one after the other; at most some megabytes."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["date", "seal"], name="codex_tracking_logpart_uniq")]

    def __str__(self) -> str:
        return f"{self.date} {self.seal}"


class VisitFile(models.Model):
    """One file of a day's packed visits."""

    date = models.DateField()
    part = models.SmallIntegerField()
    """Number of the file within its day."""
    rows = models.PositiveIntegerField()
    """Visits in it, and single views without a visit."""
    views = models.PositiveIntegerField()
    through = models.BigIntegerField()
    """Primary key of the last ``LogPart`` that the day's files were packed from when this one was written."""
    digest = models.CharField(max_length=64)
    """SHA-256 of the file."""
    name = models.CharField(max_length=200, default="")
    """Of the file in ``visit_storage``; empty when ``data`` is the file."""
    data = models.BinaryField(null=True, default=None)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["date", "part"], name="codex_tracking_visitfile_uniq")]

    def __str__(self) -> str:
        return f"{self.date} {self.part}"


class ImportedLog(models.Model):
    """An access log that was imported, and the place in it at which the next import begins to read."""

    digest = models.CharField(max_length=64, unique=True)
    """SHA-256 of the prints that it had at first."""
    prints: models.JSONField[list[str], list[str]] = models.JSONField(default=list)
    """Hashes of its first lines without the clients, which stay when it grows, is renamed, packed or anonymised."""
    lines = models.PositiveBigIntegerField(default=0)
    """Lines that were counted, or refused for good."""
    offset = models.PositiveBigIntegerField(default=0)
    """Bytes of the uncompressed log that were read, so that malformed lines are reported once."""
    replay = models.PositiveBigIntegerField(default=0)
    """Bytes before the days that are not over or have lines that were left out; reading goes on there."""
    replay_lines = models.PositiveBigIntegerField(default=0)
    tail = models.PositiveBigIntegerField(default=0)
    """Sum of the CRC-32 of the lines from that place to ``offset``: a log with another sum was changed."""
    imported_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.digest[:12]} - {self.lines}"


class ImportedLines(models.Model):
    """Lines of one day that one transaction of an import counted or refused for good."""

    date = models.DateField(db_index=True)
    keys = models.BinaryField()
    """For each line the second of the day in UTC, 24 bits of the request and 8 of the client: 64 bits, deflated."""

    def __str__(self) -> str:
        return str(self.date)


class ImportSalt(models.Model):
    """Salt of an imported day's visitor hashes, shared by all logs of that day; deleted after 48 hours."""

    date = models.DateField(primary_key=True)
    salt = models.BinaryField()
    made_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.date)


class Saved(models.Model):
    """A question that staff saved under a name."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    # Text, as in ShareLink.
    created_by = models.CharField(_("created by"), max_length=150, blank=True, default="", editable=False)

    class Meta:
        abstract = True
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Segment(Saved):
    """Filters that select visits."""

    filters: models.JSONField[list[str], list[str]] = models.JSONField(_("filters"), default=list)
    """As in addresses, such as ``source:is:Google``; one at least."""

    class Meta(Saved.Meta):
        verbose_name = _("Segment")
        verbose_name_plural = _("Segments")


class Funnel(Saved):
    """Steps of a visit."""

    steps: models.JSONField[list[str], list[str]] = models.JSONField(_("steps"), default=list)
    """As in addresses, such as ``page:/pricing/``; two to eight."""

    class Meta(Saved.Meta):
        verbose_name = _("Funnel")
        verbose_name_plural = _("Funnels")


def revoke_links(collector: Any, field: models.ForeignKey[Any, Any], links: models.QuerySet[Any], using: str) -> None:
    """Revoke the links of a segment that is deleted: without its filters they would show all visits."""
    still_open = links.filter(revoked_at__isnull=True)
    collector.add_field_update(ShareLink._meta.get_field("revoked_at"), timezone.now(), list(still_open))
    collector.add_field_update(field, None, list(links))


class ShareLink(models.Model):
    """A link that opens the dashboard, read only, until it expires or is revoked."""

    # Not the link itself: a reader of the database cannot make one without SECRET_KEY.
    key = models.CharField(max_length=32, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=100)
    """The recipient, in the words of the person who shared it."""
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    # Text, because users may be in another database, and a link outlives the account of its creator.
    created_by = models.CharField(_("created by"), max_length=150, blank=True, default="", editable=False)
    expires_at = models.DateTimeField(_("expires at"))
    revoked_at = models.DateTimeField(_("revoked at"), null=True, default=None, editable=False)
    segment = models.ForeignKey(
        Segment, on_delete=revoke_links, null=True, default=None, editable=False, verbose_name=_("segment")
    )
    """The segment that it is restricted to; None for all visits."""

    class Meta:
        verbose_name = _("Share link")
        verbose_name_plural = _("Share links")
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return self.name


def database(write: bool = False) -> str:
    """Return the alias of the database that the tables are in."""
    return router.db_for_write(PageView) if write else router.db_for_read(PageView)
