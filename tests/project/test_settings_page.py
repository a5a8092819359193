"""The settings page: its table is that of the code.

``python -m tests.project.test_settings_page`` writes the table anew.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from pathlib import Path

from codex_tracking.settings import TrackingSettings

PAGE = Path(__file__).parents[2] / "examples" / "docs" / "settings.md"
TABLE = re.compile(r"(<!-- settings[^>]*-->\n).*?(<!-- /settings -->)", re.DOTALL)


def settings_table() -> str:
    """Return the table of all settings: name, default, and the first sentence that the code says about each."""
    (node,) = ast.parse(inspect.getsource(TrackingSettings)).body
    assert isinstance(node, ast.ClassDef)
    texts: dict[str, str] = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            texts[ast.unparse(field.target)] = " ".join(str(text.value.value).split()).replace("``", "`")
    fields = dataclasses.fields(TrackingSettings)
    rows = [f"| `{field.name}` | {_default(field.default)} | {texts[field.name]} |" for field in fields]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows, ""])


def _default(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"`{part}`" for part in value) or "none"
    return f"`{value!r}`".replace("'", '"') if value != "" else "empty"


def write_settings_table() -> None:
    """Write the settings of the code into the settings page."""
    PAGE.write_text(TABLE.sub(lambda found: found[1] + settings_table() + found[2], PAGE.read_text()))


def test_the_settings_table_is_that_of_the_code() -> None:
    found = TABLE.search(PAGE.read_text())
    assert found is not None
    table = found[0].partition("\n")[2].removesuffix(found[2])
    assert table == settings_table(), "run: python -m tests.project.test_settings_page"


if __name__ == "__main__":
    write_settings_table()
