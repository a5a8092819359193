"""Knows imported lines by themselves, in whatever file they come, instead of by their place in one log."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("codex_tracking", "0006_import_bookkeeping"),
    ]

    operations = [
        migrations.CreateModel(
            name="ImportedLines",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("date", models.DateField(db_index=True)),
                ("keys", models.BinaryField()),
            ],
        ),
        migrations.DeleteModel(name="ImportedDay"),
        migrations.RemoveField(model_name="importedlog", name="before"),
        migrations.AddField(model_name="importedlog", name="tail", field=models.PositiveBigIntegerField(default=0)),
    ]
