"""Makes room for sums over many days; the lists of finished days are made anew, with the dictionary of their paths."""

from django.db import migrations, models


def compare_bytes(apps, schema_editor):
    # As the columns whose values these are.
    if schema_editor.connection.vendor == "mysql":
        collation = "utf8mb4_nopad_bin" if schema_editor.connection.mysql_is_mariadb else "utf8mb4_0900_bin"
        schema_editor.execute(
            "ALTER TABLE codex_tracking_rollupvalue MODIFY value varchar(700) "
            f"CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL"
        )


def list_again(apps, schema_editor):
    days = apps.get_model("codex_tracking", "DayTotals").objects.using(schema_editor.connection.alias)
    days.update(listed=False)


class Migration(migrations.Migration):
    dependencies = [("codex_tracking", "0009_segments_and_funnels")]

    operations = [
        migrations.CreateModel(
            name="Rollup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("start", models.DateField()),
                ("end", models.DateField()),
                ("version", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("start", "end"), name="codex_tracking_rollup_uniq")]
            },
        ),
        migrations.CreateModel(
            name="RollupValue",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("dimension", models.CharField(max_length=20)),
                ("value", models.CharField(max_length=700)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("dimension", "value"), name="codex_tracking_rollupvalue_uniq")
                ]
            },
        ),
        migrations.CreateModel(
            name="RollupRow",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "rollup_id",
                        "dimension",
                        "place",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("rollup_id", models.PositiveBigIntegerField()),
                ("value_id", models.PositiveBigIntegerField()),
                ("views", models.PositiveBigIntegerField()),
                ("secondary", models.PositiveBigIntegerField()),
                ("place", models.PositiveIntegerField()),
                ("dimension", models.CharField(max_length=20)),
            ],
            options={
                "indexes": [models.Index(fields=["value_id", "rollup_id"], name="codex_tracking_rolluprow_value")],
            },
        ),
        migrations.RunPython(compare_bytes, migrations.RunPython.noop, atomic=False),
        migrations.RunPython(list_again, migrations.RunPython.noop),
    ]
