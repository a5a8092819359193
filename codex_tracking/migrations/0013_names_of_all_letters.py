"""Lets names have emoji on MySQL, whatever the database's character set, and compares them as other databases do."""

from django.db import migrations

COLUMNS = (("name", 100), ("created_by", 150))


def all_letters(apps, schema_editor):
    # The tables have the character set of the database, and utf8mb3 has three bytes for a character.
    if schema_editor.connection.vendor != "mysql":
        return
    # By bytes: names that differ stay different, whatever collation the column has had.
    collation = "utf8mb4_nopad_bin" if schema_editor.connection.mysql_is_mariadb else "utf8mb4_0900_bin"
    for table in ("segment", "funnel", "sharelink"):
        changes = ", ".join(
            f"MODIFY {column} varchar({length}) CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL"
            for column, length in COLUMNS
        )
        schema_editor.execute(f"ALTER TABLE codex_tracking_{table} {changes}")


class Migration(migrations.Migration):
    dependencies = [("codex_tracking", "0012_top_of_today")]

    operations = [migrations.RunPython(all_letters, migrations.RunPython.noop, atomic=False)]
