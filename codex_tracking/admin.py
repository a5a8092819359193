"""The tables in Django's admin: page views can be edited, all others are read only."""

from __future__ import annotations

from datetime import date as Date
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import router, transaction
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from codex_tracking.cabinet import analytics_url
from codex_tracking.models import Breakdown, DayTotals, Funnel, PageView, Saved, Segment, ShareLink
from codex_tracking.web.access import links, saved
from codex_tracking.web.access.viewer import may_see

# Django's class takes no type parameters at run time.
if TYPE_CHECKING:
    PageViewModelAdmin = admin.ModelAdmin[PageView]
    DayTotalsModelAdmin = admin.ModelAdmin[DayTotals]
    BreakdownModelAdmin = admin.ModelAdmin[Breakdown]
    ShareLinkModelAdmin = admin.ModelAdmin[ShareLink]
    SavedModelAdmin = admin.ModelAdmin[Saved]
else:
    PageViewModelAdmin = DayTotalsModelAdmin = BreakdownModelAdmin = ShareLinkModelAdmin = admin.ModelAdmin
    SavedModelAdmin = admin.ModelAdmin


@admin.register(PageView)
class PageViewAdmin(PageViewModelAdmin):
    """Views per path and day. A row added here is overridden by a larger live count, not added to it."""

    list_display = ("date", "path", "views")
    list_filter = ("date",)
    search_fields = ("path",)
    ordering = ("-date", "-views", "path")
    fields = ("date", "path", "views")
    # The number of all rows, beside that of those found, takes a pass over the whole table.
    show_full_result_count = False

    def save_model(self, request: HttpRequest, obj: PageView, form: ModelForm[PageView], change: bool) -> None:
        """Save the row and recount the totals of its day, and of the day that it had before."""
        # A row that moves to another day changes the totals of both.
        before = form.initial.get("date") if change else None
        super().save_model(request, obj, form, change)
        _recount({day for day in (before, obj.date) if day})

    def delete_model(self, request: HttpRequest, obj: PageView) -> None:
        """Delete the row and recount its day's totals."""
        super().delete_model(request, obj)
        _recount({obj.date})

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[PageView]) -> None:
        """Delete the rows and recount their days' totals."""
        days = set(queryset.order_by().values_list("date", flat=True).distinct())
        super().delete_queryset(request, queryset)
        _recount(days)


def _recount(days: set[Date]) -> None:
    # After the commit, because a flush locks the day before its rows: the other way round the two could wait for each
    # other, and MariaDB would add up the rows as they were when this request began.
    transaction.on_commit(lambda: DayTotals.objects.recount(days), using=router.db_for_write(PageView))


class ReadOnly:
    """A table that nobody may change here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(DayTotals)
class DayTotalsAdmin(ReadOnly, DayTotalsModelAdmin):
    """Each day's figures."""

    list_display = ("date", "views", "visitors", "visits")
    fields = ("date", "views", "visitors", "visits", "engaged", "seconds", "flushed_at")
    date_hierarchy = "date"
    show_full_result_count = False


@admin.register(Breakdown)
class BreakdownAdmin(ReadOnly, BreakdownModelAdmin):
    """Each day's counters of all dimensions but paths."""

    list_display = ("date", "dimension", "value", "views", "visits")
    list_filter = ("dimension", "date")
    search_fields = ("value",)
    show_full_result_count = False


@admin.register(ShareLink)
class ShareLinkAdmin(ReadOnly, ShareLinkModelAdmin):
    """Share links: shown and revoked here, created on the dashboard or by ``tracking_share``."""

    list_display = ("name", "segment", "created_by", "created_at", "expires_at", "revoked_at")
    list_select_related = ("segment",)
    fields = ("name", "segment", "created_by", "created_at", "expires_at", "revoked_at")
    search_fields = ("name", "created_by")
    actions = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Say whether a user may revoke links, by the model's change permission."""
        return admin.ModelAdmin.has_change_permission(self, request)

    @admin.action(description=_("Revoke the selected links"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ShareLink]) -> None:
        """Revoke the selected links."""
        # Not by the queryset: a link that was revoked before keeps its moment.
        for primary_key in queryset.values_list("pk", flat=True):
            links.revoke(primary_key)


@admin.register(Segment, Funnel)
class SavedAdmin(ReadOnly, SavedModelAdmin):
    """Segments and funnels: shown and deleted here, saved on the dashboard."""

    list_display = ("name", "created_by", "created_at")
    search_fields = ("name", "created_by")
    actions = ("delete_saved",)

    def has_remove_permission(self, request: HttpRequest) -> bool:
        """Say whether a user may delete them, by the model's delete permission."""
        return admin.ModelAdmin.has_delete_permission(self, request)

    @admin.action(description=_("Delete, and revoke the share links of deleted segments"), permissions=["remove"])
    def delete_saved(self, request: HttpRequest, queryset: QuerySet[Saved]) -> None:
        """Delete the selected rows."""
        for primary_key in queryset.values_list("pk", flat=True):
            saved.delete(queryset.model, primary_key)


def list_dashboard(site: Any) -> None:
    """Add a link to the dashboard to the index of an admin site, for users with access."""
    # An entry of the index needs a model; a model for a link would need a migration and permissions of its own.
    made = getattr(site, "_wrapped", site)
    replaced = vars(made).get("get_app_list")

    # Arguments as Django gives them: the methods of projects may take fewer than its own.
    def get_app_list(request: HttpRequest, *arguments: Any, **named: Any) -> list[dict[str, Any]]:
        # The class's method of this moment, which a project may have replaced since.
        listed = replaced or partial(type(made).get_app_list, made)
        found: list[dict[str, Any]] = listed(request, *arguments, **named)
        ours = next((app for app in found if app.get("app_label") == "codex_tracking"), None)
        if ours is not None and may_see(request.user):
            ours["models"].insert(0, _entry())
        return found

    site.get_app_list = get_app_list


def _entry() -> dict[str, Any]:
    return {
        # As all entries have one, projects and themes ask for it.
        "model": PageView,
        "name": _("Analytics"),
        "object_name": "Analytics",
        "admin_url": analytics_url(),
        "add_url": None,
        "view_only": True,
        "perms": {"add": False, "change": False, "delete": False, "view": True},
    }


list_dashboard(admin.site)
