"""Makes `.venv` what the lock files say, with nothing but Python's standard library.

The programs in this folder call `enter` first. Run by itself it writes the lock files anew from
pyproject.toml: `python3 bin/bootstrap.py lock [any arguments of uv pip compile]`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.json"
RUNTIME = "requirements.lock"
DEVELOPMENT = "requirements-dev.lock"  # contains the runtime
BENCHMARKS = "requirements-bench.lock"  # contains both
LOCKS = (RUNTIME, DEVELOPMENT, BENCHMARKS)  # each contains those before it
OLDEST = (3, 11)


def enter(lock_name: str) -> str:
    """Make sure the environment holds what `lock_name` lists. Returns the path of its Python."""
    _leave_old_python()
    os.chdir(ROOT)
    wanted = _digests()
    if _installed().get(lock_name) == wanted[lock_name]:
        return str(PYTHON)
    (ROOT / ".local").mkdir(exist_ok=True)
    with open(ROOT / ".local" / "install.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _installed().get(lock_name) != wanted[lock_name]:
            _install(lock_name)
            names = LOCKS[: LOCKS.index(lock_name) + 1]
            STAMP.write_text(json.dumps({**_installed(), **{name: wanted[name] for name in names}}))
    return str(PYTHON)


def run(*command: str) -> NoReturn:
    """Replace this process by a program of the environment."""
    os.execv(str(PYTHON), [str(PYTHON), *command])


def _leave_old_python() -> None:
    if sys.version_info >= OLDEST:
        return
    for minor in range(14, OLDEST[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            os.execv(newer, [newer, *sys.argv])
    sys.exit("Python {}.{} or newer is needed.".format(*OLDEST))


def _digests() -> dict[str, str]:
    """What each lock file means for this Python: another one needs other packages."""
    interpreter = f"{sys.version}\n{os.path.realpath(sys.base_prefix)}\n"
    return {
        name: hashlib.sha256(interpreter.encode() + (ROOT / name).read_bytes()).hexdigest() for name in LOCKS
    }


def _installed() -> dict[str, str]:
    try:
        stamp: dict[str, str] = json.loads(STAMP.read_text()) if PYTHON.exists() else {}
    except (FileNotFoundError, ValueError):
        return {}
    return stamp


def _install(lock_name: str) -> None:
    print(f"Installing the packages of {lock_name} (once)…", flush=True)
    STAMP.unlink(missing_ok=True)
    if not _works(PYTHON):
        _create_venv()
    uv = _uv()
    options = ("--require-hashes", "-r", lock_name)
    if uv and _call(uv, "pip", "install", "--quiet", "--python", PYTHON, *options):
        return
    if not _call(PYTHON, "-m", "pip", "install", "--quiet", *options):
        sys.exit("The packages could not be installed; the lines above say why.")


def _works(python: Path) -> bool:
    try:
        return subprocess.run([str(python), "-c", "import pip"], capture_output=True).returncode == 0
    except OSError:
        return False


def _create_venv() -> None:
    shutil.rmtree(VENV, ignore_errors=True)
    if subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True).returncode == 0:
        return
    # Some distributions ship Python without venv or ensurepip, but with pip.
    shutil.rmtree(VENV, ignore_errors=True)
    boot = ROOT / ".local" / "boot"
    if _call(sys.executable, "-m", "pip", "install", "--quiet", "--target", boot, "virtualenv>=20.26"):
        environment = {**os.environ, "PYTHONPATH": str(boot)}
        command = [sys.executable, "-m", "virtualenv", "--quiet", str(VENV)]
        if subprocess.run(command, env=environment).returncode == 0:
            return
    sys.exit(
        "Python's venv module is missing. Install it (on Debian: apt install python3-venv) and try again."
    )


def _uv() -> Path | None:
    """The installer uv in the version and with the hashes of the development lock, if it can be had."""
    program = VENV / "bin" / "uv"
    if not program.exists():
        text = (ROOT / DEVELOPMENT).read_text()
        entry = re.search(r"^uv==.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
        if entry is None:
            return None
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(entry.group())
            file.flush()
            _call(PYTHON, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", file.name)
    return program if program.exists() else None


def _call(*command: str | Path) -> bool:
    return subprocess.run([str(part) for part in command]).returncode == 0


def _write_locks() -> None:
    enter(DEVELOPMENT)
    uv = [str(VENV / "bin" / "uv"), "pip", "compile", "pyproject.toml", "--universal", "--quiet"]
    uv += ["--python-version", "{}.{}".format(*OLDEST), "--generate-hashes", "--no-annotate", "--no-header"]
    uv += ["--extra", "embedded", "--extra", "charts", "--extra", "pdf", *sys.argv[2:]]
    subprocess.run([*uv, "-o", RUNTIME], check=True)
    subprocess.run([*uv, "--group", "dev", "--constraint", RUNTIME, "-o", DEVELOPMENT], check=True)
    groups = ("--group", "dev", "--group", "bench")
    subprocess.run([*uv, *groups, "--constraint", DEVELOPMENT, "-o", BENCHMARKS], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] != ["lock"]:
        sys.exit(__doc__)
    _write_locks()
