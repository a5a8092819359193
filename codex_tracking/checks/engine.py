"""System checks of the visit log and of the server that answers questions about it, each with a remedy."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Caution

from codex_tracking.checks.deployment import Configs
from codex_tracking.models import database
from codex_tracking.settings import get_tracking_settings
from codex_tracking.visits.engine import missing


@register(Tags.compatibility)
def check_visit_log(app_configs: Configs, **_: Any) -> list[CheckMessage]:
    """Check that the visit log's files can be made and stored."""
    tracking = get_tracking_settings()
    found: list[CheckMessage] = []
    if tracking.visit_log_days and (packages := ", ".join(missing())):
        message = f"CODEX_TRACKING['visit_log_days'] needs {packages}: the visit log is written, but not read."
        hint = "pip install 'codex-tracking[visits]', or set visit_log_days to 0."
        found.append(Error(message, hint=hint, id="codex_tracking.E009"))
    if tracking.visit_storage and tracking.visit_storage not in settings.STORAGES:
        message = f"CODEX_TRACKING['visit_storage'] must be an alias in STORAGES, not {tracking.visit_storage!r}."
        hint = f"Known: {', '.join(settings.STORAGES)}. Leave it out to keep the visit log's files in the database."
        found.append(Error(message, hint=hint, id="codex_tracking.E010"))
    return found


@register(Tags.compatibility)
def check_visit_engine(app_configs: Configs, **_: Any) -> list[CheckMessage]:
    """Check that ``visit_engine`` has its package and a visit log."""
    tracking = get_tracking_settings()
    found: list[CheckMessage] = []
    if not tracking.visit_engine:
        if tracking.visit_engine_cluster:
            message = "CODEX_TRACKING['visit_engine_cluster'] is set without visit_engine, which it is about."
            found.append(Error(message, hint="Set visit_engine, or leave both out.", id="codex_tracking.E012"))
        return found
    package = _missing_package(tracking.visit_engine)
    if package:
        message = f"CODEX_TRACKING['visit_engine'] needs the package {package}: no filtered page can be answered."
        hint = f"pip install {package}, or leave visit_engine out: DuckDB answers then."
        found.append(Error(message, hint=hint, id="codex_tracking.E011"))
    if not tracking.visit_log_days:
        message = "CODEX_TRACKING['visit_engine'] is set, but there is no visit log that it could answer from."
        found.append(Caution(message, hint="Set visit_log_days, such as 90.", id="codex_tracking.W012"))
    return found


def _missing_package(url: str) -> str:
    wanted = {"clickhouse_connect": "'codex-tracking[clickhouse]'", "chdb": "chdb"}
    if not url.startswith("chdb:"):
        del wanted["chdb"]
    return next((package for module, package in wanted.items() if find_spec(module) is None), "")


@register(Tags.database, deploy=True)
def check_visit_engine_answers(
    app_configs: Configs, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Check that the server of ``visit_engine`` answers.

    Runs with ``check --deploy --database default``.
    """
    tracking = get_tracking_settings()
    if not tracking.visit_engine or _missing_package(tracking.visit_engine) or database() not in (databases or ()):
        return []
    # Not at the top: every command imports the checks, and few need the log.
    from codex_tracking.visits.clickhouse.server import EngineError, connect

    try:
        connect().rows("SELECT 1")
    except EngineError as error:
        # Neither the URL, which has a password, nor the server's text, which may quote it.
        message = f"The server of CODEX_TRACKING['visit_engine'] is not available: {error}."
        hint = (
            "Check the host, the port of its HTTP interface (8123, with TLS 8443), user, password (code 516) and "
            "database (code 81). clickhouses:// is TLS; a certificate of your own is trusted by "
            "?ca_cert=/path/to/ca.pem. Until it answers, filtered pages have no figures; all views are counted."
        )
        return [Caution(message, hint=hint, id="codex_tracking.W013")]
    return []
