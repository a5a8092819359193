"""Makes room for imported access logs: how far each was read, and what their visitors are hashed with."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("codex_tracking", "0002_counting")]

    operations = [
        migrations.CreateModel(
            name="ImportSalt",
            fields=[
                ("date", models.DateField(primary_key=True, serialize=False)),
                ("salt", models.BinaryField()),
                ("made_at", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name="ImportedLog",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.CharField(max_length=64)),
                ("head", models.PositiveIntegerField()),
                ("offset", models.PositiveBigIntegerField(default=0)),
                ("lines", models.PositiveBigIntegerField(default=0)),
                ("replay", models.PositiveBigIntegerField(default=0)),
                ("replay_lines", models.PositiveBigIntegerField(default=0)),
                ("imported_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("digest", "head"), name="codex_tracking_importedlog_uniq")
                ],
            },
        ),
    ]
