"""The tables of rollups: sums over many days, so that a year is not added up day by day."""

from __future__ import annotations

from django.db import models


class Rollup(models.Model):
    """A span of days whose sums are in ``RollupRow``; see ``tables.rollups``."""

    start = models.DateField()
    end = models.DateField()
    version = models.PositiveBigIntegerField(default=0)
    """Sum of ``DayTotals.locks`` over its days: a rollup of another version is out of date, and not read."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["start", "end"], name="codex_tracking_rollup_uniq")]

    def __str__(self) -> str:
        return f"{self.start} {self.end}"


class RollupValue(models.Model):
    """A value of a dimension; of paths also those that finished days have and no rollup has yet."""

    dimension = models.CharField(max_length=20)
    value = models.CharField(max_length=700)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["dimension", "value"], name="codex_tracking_rollupvalue_uniq")]

    def __str__(self) -> str:
        return f"{self.dimension} {self.value}"


class RollupRow(models.Model):
    """The sums of one value over the days of one rollup, of those rows that flushes and imports wrote."""

    pk = models.CompositePrimaryKey("rollup_id", "dimension", "place")
    # Numbers, because foreign keys would be checked row by row: of a busy site, a rollup has 100,000 rows.
    rollup_id = models.PositiveBigIntegerField()
    value_id = models.PositiveBigIntegerField()
    views = models.PositiveBigIntegerField()
    secondary = models.PositiveBigIntegerField()
    """Visits, of a path visitors."""
    place = models.PositiveIntegerField()
    """By views, from 1: the most viewed pages of a rollup follow one another in its primary key."""
    dimension = models.CharField(max_length=20)

    class Meta:
        # PostgreSQL has it the other way round, see migration 0014.
        indexes = [models.Index(fields=["value_id", "rollup_id"], name="codex_tracking_rolluprow_value")]

    def __str__(self) -> str:
        return f"{self.rollup_id} {self.dimension} {self.place}"
