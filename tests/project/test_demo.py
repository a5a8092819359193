"""The demo, as the README starts it: what it sends over HTTP is what its dashboard counts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[2]


def demo(*options: str) -> subprocess.Popen[str]:
    """Start the demo on a free port."""
    command = [sys.executable, "examples/demo.py", "--port", str(free_port()), *options]
    # The checkout's package where none is installed.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
def test_demo_counts_exactly_what_it_sends_and_serves_until_ctrl_c() -> None:
    with demo() as process:
        try:
            printed = _greeting(process)
            assert "Equal, path by path and reason by reason." in printed
            figures = re.findall(r"^(\w[\w: ]+?) +([\d,]+) +([\d,]+)$", printed, re.MULTILINE)
            assert [sent for _, sent, _ in figures] == [counted for _, _, counted in figures]
            sent = {name: int(n.replace(",", "")) for name, n, _ in figures}
            assert sent["page views"] > 3_000
            for reason in ("bot", "prefetch", "partial", "staff", "status", "method"):
                assert sent[f"not counted: {reason}"] > 0

            address = printed.split("Site ")[1].split("http://")[1].strip().rstrip("/")
            for path in ("/", "/articles/basil-that-survives/", "/search/?q=basil", "/static/larkspur/site.css"):
                with urllib.request.urlopen(f"http://{address}{path}") as answer:
                    assert answer.status == 200
            # The dashboard listens on a websocket: strangers are refused there, and not told that there is none.
            with pytest.raises(InvalidStatus) as refused:
                connect(f"ws://{address}/ws/figures/", origin=Origin(f"http://{address}")).close()
            assert refused.value.response.status_code == 403
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in rest
    wait_until(lambda: not _serves(address), 5, "nothing serves any more")


def _greeting(process: subprocess.Popen[str]) -> str:
    """Return what the demo prints until it says where its site is."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith("Site "):
            return printed
    raise AssertionError(f"the demo ended before it printed its address: {printed}")


def _serves(address: str) -> bool:
    try:
        urllib.request.urlopen(f"http://{address}/", timeout=2).close()
    except OSError:
        return False
    return True
