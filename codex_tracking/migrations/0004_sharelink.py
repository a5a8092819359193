"""Makes room for links that open the dashboard, read only."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("codex_tracking", "0003_imports")]

    operations = [
        migrations.CreateModel(
            name="ShareLink",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(editable=False, max_length=32, unique=True)),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
                (
                    "created_by",
                    models.CharField(blank=True, default="", editable=False, max_length=150, verbose_name="created by"),
                ),
                ("expires_at", models.DateTimeField(verbose_name="expires at")),
                (
                    "revoked_at",
                    models.DateTimeField(default=None, editable=False, null=True, verbose_name="revoked at"),
                ),
            ],
            options={
                "verbose_name": "Share link",
                "verbose_name_plural": "Share links",
                "ordering": ["-created_at", "-pk"],
            },
        ),
    ]
