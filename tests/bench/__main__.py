"""``python -m tests.bench [part ...] [--quick] [--json FILE]``: run the parts, print one table, write JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.figure import Figure, table

PARTS = (
    "cpu",
    "throughput",
    "commands",
    "outage",
    "flushing",
    "reads",
    "memory",
    "imports",
    "access_logs",
    "lag",
    "fleet",
    "visits",
    "claims",
    "many_visits",
)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure what tracking costs.")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"any of: {', '.join(PARTS)} (all when omitted)")
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it works, not for figures")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where the samples go (bench.json)")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    figures: dict[str, list[Figure]] = {}
    bench = Bench(options.quick)
    try:
        for part in options.parts or PARTS:
            figures[part] = _measure(part, bench)
            # After each, so that a run which is stopped keeps what it has.
            _write(options.json, figures, options.quick)
    finally:
        bench.close()
    print("\n" + table([figure for each in figures.values() for figure in each]))


def _measure(part: str, bench: Bench) -> list[Figure]:
    begin = time.monotonic()
    print(f"{part} ...", file=sys.stderr, flush=True)
    figures: list[Figure] = importlib.import_module(f"tests.bench.{part}").measure(bench)
    print(f"{table(figures)}\n({time.monotonic() - begin:.0f} s)", file=sys.stderr, flush=True)
    return figures


def _write(file: Path, figures: dict[str, list[Figure]], quick: bool) -> None:
    parts = {
        part: [asdict(figure) | {"median": figure.value, "met": figure.met} for figure in each]
        for part, each in figures.items()
    }
    machine = {"python": platform.python_version(), "system": platform.platform(), "processor": platform.machine()}
    file.write_text(json.dumps({"quick": quick, "machine": machine, "parts": parts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
