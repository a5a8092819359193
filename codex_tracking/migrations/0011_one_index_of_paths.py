"""Drops the index of paths that the unique one, which begins with the path, makes needless."""

from django.db import migrations, models

TABLE, COLUMN = "codex_tracking_pageview", "path"
NAME = "codex_tracking_pageview_path"


def drop_index(apps, schema_editor):
    model = apps.get_model("codex_tracking", "PageView")
    with schema_editor.connection.cursor() as cursor:
        found = schema_editor.connection.introspection.get_constraints(cursor, TABLE)
    for name, index in found.items():
        # PostgreSQL has a second one, which searches by prefix need whatever the locale.
        if index["index"] and not index["unique"] and index["columns"] == [COLUMN] and not name.endswith("_like"):
            schema_editor.remove_index(model, models.Index(fields=[COLUMN], name=name))


def make_index(apps, schema_editor):
    model = apps.get_model("codex_tracking", "PageView")
    schema_editor.add_index(model, models.Index(fields=[COLUMN], name=NAME))


class Migration(migrations.Migration):
    dependencies = [("codex_tracking", "0010_rollups")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(drop_index, make_index)],
            state_operations=[
                migrations.AlterField(
                    model_name="pageview",
                    name="path",
                    field=models.CharField(max_length=500, verbose_name="path"),
                )
            ],
        )
    ]
