"""Makes room for additive counting; rows that exist are adopted, and their days get totals."""

from django.db import migrations, models
from django.db.models import Sum

PAGEVIEW, BREAKDOWN = "codex_tracking_pageview", "codex_tracking_breakdown"
FOREIGN = "codex_tracking_pageview_foreign"


def total_days(apps, schema_editor):
    page_view = apps.get_model("codex_tracking", "PageView").objects.using(schema_editor.connection.alias)
    totals = apps.get_model("codex_tracking", "DayTotals")
    days = page_view.values("date").annotate(total=Sum("views")).order_by("date")
    totals.objects.using(schema_editor.connection.alias).bulk_create(
        [totals(date=day["date"], views=day["total"]) for day in days], batch_size=500, ignore_conflicts=True
    )


def index_foreign(apps, schema_editor):
    # Nearly empty, and asked at every flush and read. MySQL has no partial indexes, and Django's checks say so of a
    # declared one, so it is not declared.
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute(f"CREATE INDEX {FOREIGN} ON {PAGEVIEW} (own, date)")
    else:
        schema_editor.execute(f"CREATE INDEX {FOREIGN} ON {PAGEVIEW} (date) WHERE own IS NULL")


def unindex_foreign(apps, schema_editor):
    on = f" ON {PAGEVIEW}" if schema_editor.connection.vendor == "mysql" else ""
    schema_editor.execute(f"DROP INDEX {FOREIGN}{on}")


def compare_bytes(apps, schema_editor):
    # MySQL's usual collations take /A, /a and "/a " for one path.
    if schema_editor.connection.vendor == "mysql":
        collation = "utf8mb4_nopad_bin" if schema_editor.connection.mysql_is_mariadb else "utf8mb4_0900_bin"
        for table, column, length in ((PAGEVIEW, "path", 500), (BREAKDOWN, "value", 700)):
            schema_editor.execute(
                f"ALTER TABLE {table} MODIFY {column} varchar({length}) "
                f"CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL"
            )


class Migration(migrations.Migration):
    dependencies = [("codex_tracking", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="DayTotals",
            fields=[
                ("date", models.DateField(primary_key=True, serialize=False, verbose_name="date")),
                ("views", models.PositiveBigIntegerField(default=0, verbose_name="views")),
                ("visitors", models.PositiveBigIntegerField(default=0, verbose_name="visitors")),
                ("visits", models.PositiveBigIntegerField(default=0, verbose_name="visits")),
                ("engaged", models.PositiveBigIntegerField(default=0, verbose_name="engaged visits")),
                ("seconds", models.PositiveBigIntegerField(default=0, verbose_name="seconds")),
                ("sketch", models.BinaryField(default=None, null=True)),
                ("rows", models.JSONField(default=dict, editable=False)),
                ("locks", models.PositiveBigIntegerField(default=0, editable=False)),
                (
                    "flushed_at",
                    models.DateTimeField(default=None, editable=False, null=True, verbose_name="flushed at"),
                ),
                ("listed", models.BooleanField(default=False, editable=False)),
            ],
            options={"verbose_name": "Day", "verbose_name_plural": "Days", "ordering": ["-date"]},
        ),
        migrations.CreateModel(
            name="Generation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("date", models.DateField()),
                ("token", models.CharField(max_length=64)),
                ("last", models.CharField(default="", max_length=64)),
                ("acked", models.JSONField(default=dict)),
                ("closed", models.BooleanField(default=False)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("date", "token"), name="codex_tracking_generation_uniq")
                ]
            },
        ),
        migrations.CreateModel(
            name="Breakdown",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("date", models.DateField(verbose_name="date")),
                ("dimension", models.CharField(max_length=20, verbose_name="dimension")),
                ("value", models.CharField(max_length=700, verbose_name="value")),
                ("views", models.PositiveBigIntegerField(default=0, verbose_name="views")),
                ("visits", models.PositiveBigIntegerField(default=0, verbose_name="visits")),
            ],
            options={
                "verbose_name": "Breakdown",
                "verbose_name_plural": "Breakdowns",
                "ordering": ["-date", "dimension", "-views", "-visits", "value"],
                "constraints": [
                    models.UniqueConstraint(fields=("dimension", "date", "value"), name="codex_tracking_breakdown_uniq")
                ],
            },
        ),
        migrations.AlterField(
            model_name="pageview",
            name="views",
            field=models.PositiveBigIntegerField(default=0, verbose_name="views"),
        ),
        migrations.AddField(
            model_name="pageview",
            name="visitors",
            field=models.PositiveBigIntegerField(db_default=0, default=0, verbose_name="visitors"),
        ),
        # The first default adopts the rows that exist, the second is for rows that others write from now on.
        migrations.AddField(
            model_name="pageview",
            name="own",
            field=models.PositiveSmallIntegerField(default=1, editable=False, null=True),
        ),
        migrations.AlterField(
            model_name="pageview",
            name="own",
            field=models.PositiveSmallIntegerField(default=None, editable=False, null=True),
        ),
        migrations.RunPython(compare_bytes, migrations.RunPython.noop, atomic=False),
        migrations.RunPython(index_foreign, unindex_foreign, atomic=False),
        migrations.RunPython(total_days, migrations.RunPython.noop),
    ]
