"""The names of filters and their operators."""

from __future__ import annotations

from django.utils.translation import gettext_lazy

from codex_tracking.web.dashboard.labels import Text

FILTERS: dict[str, Text] = {
    "page": gettext_lazy("Visited page"),
    "route": gettext_lazy("Visited route"),
    "event": gettext_lazy("Did event"),
    "entry": gettext_lazy("Entered on"),
    "exit": gettext_lazy("Left on"),
    "host": gettext_lazy("Host"),
    "country": gettext_lazy("Country"),
    "region": gettext_lazy("Region"),
    "city": gettext_lazy("City"),
    "language": gettext_lazy("Language"),
    "browser": gettext_lazy("Browser"),
    "os": gettext_lazy("Operating system"),
    "device": gettext_lazy("Device"),
    "channel": gettext_lazy("Channel"),
    "source": gettext_lazy("Source"),
    "referrer": gettext_lazy("Referrer"),
    "utm_source": gettext_lazy("UTM source"),
    "utm_medium": gettext_lazy("UTM medium"),
    "utm_campaign": gettext_lazy("UTM campaign"),
    "utm_term": gettext_lazy("UTM term"),
    "utm_content": gettext_lazy("UTM content"),
    "member": gettext_lazy("Logged in"),
}
"""Dimension of a filter -> its name, in front of operator and value."""

OPERATORS: dict[str, Text] = {
    "is": gettext_lazy("is"),
    "is_not": gettext_lazy("is not"),
    "contains": gettext_lazy("contains"),
    "contains_not": gettext_lazy("does not contain"),
}
