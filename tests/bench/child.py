"""Measures that a process takes of itself and of others; loads nothing that could be in the way."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def report(**values: Any) -> None:
    """Tell ``Bench.run`` what was measured."""
    sys.stdout.write(json.dumps(values) + "\n")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, ended threads included (the kernel's clock of that process)."""
    return time.clock_gettime((~pid << 3) | 2)


def memory_mb(pid: int | str = "self", peak: bool = False) -> float:
    """Return the resident memory of a process, or the most it ever was."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:" if peak else "VmRSS:")[2].split()[0]) / 1024


def forget_peak() -> None:
    """Let ``memory_mb(peak=True)`` of this process begin anew."""
    Path("/proc/self/clear_refs").write_text("5")
