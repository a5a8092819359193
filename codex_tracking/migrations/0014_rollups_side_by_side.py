"""Turns the index of values round on PostgreSQL, so that the entries of a new rollup lie side by side in it."""

from functools import partial

from django.db import migrations, models

NAME = "codex_tracking_rolluprow_value"


def index_by(fields, apps, schema_editor):
    # MariaDB finds the values that a search matches only in an index that begins with them, and SQLite those that no
    # rollup has any more.
    if schema_editor.connection.vendor != "postgresql":
        return
    model, index = apps.get_model("codex_tracking", "RollupRow"), models.Index(fields=fields, name=NAME)
    schema_editor.remove_index(model, index)
    schema_editor.add_index(model, index)


class Migration(migrations.Migration):
    dependencies = [("codex_tracking", "0013_names_of_all_letters")]

    operations = [
        migrations.RunPython(partial(index_by, ["rollup_id", "value_id"]), partial(index_by, ["value_id", "rollup_id"]))
    ]
