"""Install what the tests want: ``python -m tests.servers [redis postgres ...]``, of what ``binaries.py`` names."""

from __future__ import annotations

import sys

from tests.servers.binaries import PROGRAMS, provide

for line in provide(sys.argv[1:] or list(PROGRAMS)):
    print(line)
