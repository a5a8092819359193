"""Lets flushes keep the most viewed pages of today, so that no read sorts all pages of the day."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("codex_tracking", "0011_one_index_of_paths")]

    operations = [
        migrations.AddField(
            model_name="daytotals",
            name="top",
            field=models.JSONField(default=None, editable=False, null=True),
        ),
    ]
