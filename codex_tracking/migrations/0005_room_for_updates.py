"""Leaves room in PostgreSQL's pages: a row whose counters grow stays where it is, and no index has to be told."""

from django.db import migrations

TABLES = ("codex_tracking_pageview", "codex_tracking_breakdown")
PERCENT = 85


def leave_room(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table in TABLES:
            schema_editor.execute(f"ALTER TABLE {table} SET (fillfactor = {PERCENT})")


def fill_up(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table in TABLES:
            schema_editor.execute(f"ALTER TABLE {table} RESET (fillfactor)")


class Migration(migrations.Migration):
    dependencies = [("codex_tracking", "0004_sharelink")]

    operations = [migrations.RunPython(leave_room, fill_up)]
