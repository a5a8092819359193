"""The build of ``codex_tracking/hits/data`` from pinned public lists and own rows: ``nox -s data``."""
