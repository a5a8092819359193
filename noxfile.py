"""The project's sessions: ``python3 noxfile.py`` runs lint, types and tests; ``-s demo`` shows the demo.

Needs Python 3.11 or newer and nothing else: without nox it makes a small environment of its own in ``.nox-bootstrap``,
installs nox there and starts again. As root on Debian the tests also install the servers that they want.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BOOTSTRAP = ROOT / ".nox-bootstrap"
NOX = "nox[uv]>=2025.5.1"
"""With uv, which installs in a third of the time that pip takes."""


def bootstrap() -> None:
    """Start again inside an environment that has nox; does not return."""
    if sys.version_info < (3, 11):
        sys.exit(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: {sys.executable}")
    python = BOOTSTRAP / "bin" / "python" if os.name == "posix" else BOOTSTRAP / "Scripts" / "python.exe"
    if subprocess.run([python, "-c", "import nox"], capture_output=True).returncode if python.exists() else True:
        make_environment(python)
    arguments = [str(python), str(ROOT / "noxfile.py"), *sys.argv[1:]]
    sys.stdout.flush()
    if os.name == "posix":
        os.execv(python, arguments)
    sys.exit(subprocess.run(arguments).returncode)


def make_environment(python: Path) -> None:
    """Make ``.nox-bootstrap`` with nox in it; ``python`` is its interpreter."""
    print(f"Making {BOOTSTRAP} with nox ...", flush=True)
    shutil.rmtree(BOOTSTRAP, ignore_errors=True)
    make = [sys.executable, "-m", "venv", str(BOOTSTRAP)]
    if subprocess.run(make, capture_output=True).returncode:
        # Debian keeps ensurepip in a package of its own.
        if os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get"):
            quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=False)
            subprocess.run(["apt-get", "install", "-y", "-qq", "python3-venv"], env=quiet, check=False)
        shutil.rmtree(BOOTSTRAP, ignore_errors=True)
        if subprocess.run(make).returncode:
            sys.exit(f"{sys.executable} cannot make virtual environments. On Debian: apt-get install python3-venv")
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", NOX], check=True)


try:
    import nox
except ModuleNotFoundError:
    if __name__ != "__main__":
        raise
    bootstrap()

# Interpreters of pyenv count even where its shims are not on PATH, or answer "not active".
PYENV = sorted(Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser().glob("versions/3.*/bin"), reverse=True)
SHIMS = {str(Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "shims")}
os.environ["PATH"] = os.pathsep.join(
    [part for part in os.environ.get("PATH", "").split(os.pathsep) if part not in SHIMS] + [str(path) for path in PYENV]
)

# Tests start many processes, and without bytecode each of them compiles what it imports. The first import writes it,
# of the modules that are used: compiling all that is installed takes longer than installing it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("PIP_NO_COMPILE", "1")

MATRIX = (("3.11", "5.2"), ("3.12", "6.0"), ("3.13", "6.1"))
"""Python and Django of each run of the tests."""

FULL = next((python for python, _ in MATRIX if shutil.which(f"python{python}")), None)
"""The first Python of the matrix that is here. Only it runs the tests that start sites, kill servers, open browsers or
take long, and those with the oldest redis-py."""

OLDEST_REDIS = "redis==5.2.*"
"""The oldest client that ``pyproject.toml`` allows."""

REDIS_TESTS = ("tests/pipeline/test_pusher.py", "tests/store/test_cluster_sentinel.py", "tests/store/test_protocol.py")
"""Run a second time with it; by files, since collecting all tests for a mark takes longer than most of these."""

CORES = os.cpu_count() or 1

PYTEST = ("python", "-m", "pytest", "--dist", "worksteal", "--numprocesses")
"""Followed by the number of workers, of which each makes databases and starts a Redis."""

ON_NEWEST = "every_python or (not browser and not fault and not slow and not one_python and not database_server)"
"""Tests that may depend on the version of Python or Django: all of them on SQLite, and on the other databases those of
each database's own work."""

UNIT = "not browser and not fault and not slow and not integration and not transactional"
"""The tests that need no more than a Redis, start no process and commit no rows."""

ON_OTHERS = f"every_python or ({UNIT} and not one_python)"
"""The unit tests, and the tests of each database and server: the rest of what the oldest and the newest pair show holds
in between."""

nox.needs_version = ">=2025.5.1"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "uv|virtualenv"
# A missing Python is skipped, which nox shows in yellow and in its summary; the first Python must be there.
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"

_wheel: Path | None = None


@nox.session
def lint(session: nox.Session) -> None:
    """Run ruff, rules and format, and oxlint for the scripts that browsers run."""
    session.install("oxlint>=1.80", "ruff>=0.12")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("oxlint", "codex_tracking", "examples")


@nox.session
def types(session: nox.Session) -> None:
    """Run mypy --strict with Django's plugin."""
    session.install("-e", ".[dev]")
    session.run("mypy")


@nox.session
@nox.parametrize("python,django", MATRIX, ids=[f"python{python}-django{django}" for python, django in MATRIX])
def tests(session: nox.Session, django: str) -> None:
    """Run the tests against the built wheel; ``-- arguments`` go to pytest."""
    package = wheel(session)
    session.install(f"{package}[test]", f"django~={django}.0")
    place = checkout_without_package(Path(session.virtualenv.location))
    session.chdir(place)
    session.run_install("python", "-m", "tests.servers")
    full = session.python == FULL
    environment = {"CODEX_TRACKING_WHEEL": str(package)}
    # Tests that kill servers exceed their time limits on a busy machine now and then; the summary lists each rerun.
    # Many of the tests that one Python runs alone wait for a server, a browser or a timer.
    pytest = (*PYTEST, str(min(4, CORES + full)), "--reruns", "2")
    if full and not session.posargs:
        session.install(OLDEST_REDIS)
        session.run(*pytest, *REDIS_TESTS, env=environment)
    session.install("--upgrade", "redis[hiredis]")
    # The last summary is the one of all tests.
    selected = "" if full else ON_NEWEST if session.python == MATRIX[-1][0] else ON_OTHERS
    session.run(*pytest, "-m", selected, *session.posargs, env=environment)


@nox.session(reuse_venv=True)
def quick(session: nox.Session) -> None:
    """Run the unit tests, which need no server but Redis; ``-- arguments`` go to pytest."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.servers", "redis")
    session.run(*PYTEST, str(min(4, CORES + 1)), "-m", UNIT, *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what tracking costs, with servers of its own; ``-- cpu flushing --quick`` names parts and sizes."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.servers", "redis", "postgres")
    session.run("python", "-m", "tests.bench", *session.posargs)


@nox.session
def data(session: nox.Session) -> None:
    """Build the lists of bots, sites and spam from pinned public ones; ``-- --refresh`` takes their newest versions."""
    pins = ROOT / "tests" / "data_build" / "requirements.txt"
    names = [line.partition("==")[0] for line in pins.read_text("utf-8").split()]
    session.install("-e", ".")
    session.install(*(["--upgrade", *names] if "--refresh" in session.posargs else ["-r", str(pins)]))
    session.run("python", "-m", "tests.data_build", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Serve the demo site with visits and print the dashboard's address; ``-- arguments`` go to the demo."""
    session.install("-e", ".[demo]")
    session.run("python", "examples/demo.py", *session.posargs)


def wheel(session: nox.Session) -> Path:
    """Build the wheel, once for all sessions, and return its path."""
    global _wheel
    if _wheel is None:
        folder = Path(tempfile.mkdtemp(prefix="codex-tracking-wheel-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        session.install("build[uv]")
        build = ("python", "-m", "build", "--installer", "uv", "--wheel", "--outdir")
        session.run_install(*build, str(folder), str(ROOT), silent=True)
        _wheel = next(folder.glob("*.whl"))
    return _wheel


def checkout_without_package(folder: Path) -> Path:
    """Copy what the tests need besides the package, so that only the installed wheel can be imported."""
    place = folder / "checkout"
    shutil.rmtree(place, ignore_errors=True)
    # Of what begins with a dot, .github alone is looked at by tests.
    leave = shutil.ignore_patterns("codex_tracking", ".[!g]*", ".git", "__pycache__", "build", "dist", "*.sqlite3*")
    shutil.copytree(ROOT, place, ignore=leave)
    return place


def everything() -> int:
    """Run lint, types and tests, and return 0 when none of them failed."""
    command = [sys.executable, "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), "--session"]
    # mypy takes one core, and an installation waits for downloads. The tests repeat it, which shows its errors and
    # takes a second where there are none.
    install = subprocess.Popen(
        [*command, "tests", "--install-only"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    checks = subprocess.run([*command, "lint", "types"])
    install.wait()
    tests = subprocess.run([*command, "tests", "--reuse-venv", "yes"])
    if checks.returncode:
        # The summary at the end is that of the tests.
        print("Lint or types failed, see above.", flush=True)
    return checks.returncode or tests.returncode


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(everything())
    sys.argv[1:1] = ["--noxfile", str(ROOT / "noxfile.py")]
    nox.main()
