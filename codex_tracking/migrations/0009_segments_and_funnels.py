"""Makes room for saved segments and funnels, and for links that are restricted to a segment."""

from django.db import migrations, models

import codex_tracking.models


def saved(name: str, field: str, verbose_name: str, plural: str) -> migrations.CreateModel:
    """Return the operation that creates the table of what is saved under a name."""
    return migrations.CreateModel(
        name=name,
        fields=[
            ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            ("name", models.CharField(max_length=100, unique=True, verbose_name="name")),
            ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
            (
                "created_by",
                models.CharField(blank=True, default="", editable=False, max_length=150, verbose_name="created by"),
            ),
            (field, models.JSONField(default=list, verbose_name=field)),
        ],
        options={
            "verbose_name": verbose_name,
            "verbose_name_plural": plural,
            "ordering": ["name"],
            "abstract": False,
        },
    )


class Migration(migrations.Migration):
    dependencies = [("codex_tracking", "0008_visit_log")]

    operations = [
        saved("Segment", "filters", "Segment", "Segments"),
        saved("Funnel", "steps", "Funnel", "Funnels"),
        migrations.AddField(
            model_name="sharelink",
            name="segment",
            field=models.ForeignKey(
                default=None,
                editable=False,
                null=True,
                on_delete=codex_tracking.models.revoke_links,
                to="codex_tracking.segment",
                verbose_name="segment",
            ),
        ),
    ]
