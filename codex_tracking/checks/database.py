"""System checks of the database's set-up, each with a remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Caution
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.loader import MigrationLoader

from codex_tracking.checks.deployment import Configs
from codex_tracking.models import database


@register(Tags.compatibility)
def check_database(app_configs: Configs, **_: Any) -> list[CheckMessage]:
    """Check SQLite's options, without which a flush makes concurrent writers fail."""
    alias = database(write=True)
    # A router may name any alias, and Django reports one that is missing.
    entry = connections.databases.get(alias, {})
    options = entry.get("OPTIONS", {})
    if not entry.get("ENGINE", "").endswith("sqlite3"):
        return []
    # A transaction that reads before it writes cannot wait for another writer: 109 of 169 failed during a flush.
    immediate = str(options.get("transaction_mode", "")).upper() in ("IMMEDIATE", "EXCLUSIVE")
    if immediate and "wal" in str(options.get("init_command", "")).lower():
        return []
    return [
        Caution(
            f"The SQLite database {alias!r} is not set up for concurrent writers: requests that write during a flush "
            "may fail with 'database is locked'.",
            hint='Set its OPTIONS to {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"}.',
            id="codex_tracking.W006",
        )
    ]


@register(Tags.database)
def check_letters(app_configs: Configs, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check that MySQL's connections take all characters: with the first one that they refuse, no flush succeeds."""
    wrong = {alias: letters for alias in _ours(databases) if (letters := _letters(alias)) not in ("", "utf8mb4")}
    return [
        Error(
            f"The connection to the database {alias!r} has the character set {letters}, not utf8mb4: the first emoji "
            "in an address or a source makes every flush fail.",
            hint='Set "charset": "utf8mb4" in its OPTIONS; the tables have this character set already.',
            id="codex_tracking.E021",
        )
        for alias, letters in wrong.items()
    ]


# With --deploy alone, since ``migrate`` itself runs the other checks before it begins.
@register(Tags.database, deploy=True)
def check_migrations(app_configs: Configs, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check that all migrations have run: after an update without them no flush succeeds."""
    return [
        Error(
            f"The database {alias!r} lacks migrations of codex_tracking: views wait, and no figures are read.",
            hint=f"Run manage.py migrate{option(alias)}.",
            id="codex_tracking.E022",
        )
        for alias in _ours(databases)
        if lacks_migrations(alias)
    ]


def lacks_migrations(alias: str) -> bool:
    """Return whether migrations of this app have not run on a database; False if nothing tells."""
    try:
        loader = MigrationLoader(connections[alias])
    except Exception:  # a database that is away, or another app's migrations; Django reports both itself
        return False
    applied = loader.applied_migrations or {}
    return any(leaf not in applied for leaf in loader.graph.leaf_nodes("codex_tracking"))


def option(alias: str) -> str:
    """Return the option of ``migrate`` that names a database; empty for the default one."""
    return "" if alias == DEFAULT_DB_ALIAS else f" --database {alias}"


def _ours(databases: Sequence[str] | None) -> list[str]:
    """Return the databases of our tables that checks may query; reads may have another one than writes."""
    # A plain ``check``, which runs before every command, must not query any.
    return sorted({database(), database(write=True)}.intersection(databases or ()))


def _letters(alias: str) -> str:
    """Return the character set of a connection to MySQL; empty for other databases, and without an answer."""
    if connections[alias].vendor != "mysql":
        return ""
    try:
        with connections[alias].cursor() as cursor:
            # Asked, because options, files of options and commands at the start of a connection may set it.
            cursor.execute("SELECT @@character_set_client")
            return str(cursor.fetchone()[0])
    except DatabaseError:
        # Django reports it itself.
        return ""
