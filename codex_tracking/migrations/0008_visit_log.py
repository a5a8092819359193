"""Makes room for the visit log: what hits told, and the files that it is packed into."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("codex_tracking", "0007_imported_lines")]

    operations = [
        migrations.CreateModel(
            name="LogPart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("date", models.DateField(db_index=True)),
                ("seal", models.CharField(max_length=64)),
                ("data", models.BinaryField()),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("date", "seal"), name="codex_tracking_logpart_uniq")],
            },
        ),
        migrations.CreateModel(
            name="VisitFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("date", models.DateField()),
                ("part", models.SmallIntegerField()),
                ("rows", models.PositiveIntegerField()),
                ("views", models.PositiveIntegerField()),
                ("through", models.BigIntegerField()),
                ("digest", models.CharField(max_length=64)),
                ("name", models.CharField(default="", max_length=200)),
                ("data", models.BinaryField(default=None, null=True)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("date", "part"), name="codex_tracking_visitfile_uniq")],
            },
        ),
    ]
