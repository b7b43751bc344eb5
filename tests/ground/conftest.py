import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.embedded import EmbeddedServers
from config.home import Home


@pytest.fixture
def home_dir() -> Iterator[Path]:
    """A home folder of its own; whatever runs in it or was moved away from it is gone afterwards."""
    # Not pytest's own folder: that is private to one account, which is a case of its own.
    base = Path(tempfile.mkdtemp(prefix="h"))
    base.chmod(0o755)
    home = base / "home"
    yield home
    _remove(home)
    shutil.rmtree(base)


@pytest.fixture
def servers(home_dir: Path) -> EmbeddedServers:
    return EmbeddedServers(home_dir)


@pytest.fixture
def private_home_dir() -> Iterator[Path]:
    """A home folder below one that only its owner may enter."""
    base = Path(tempfile.mkdtemp(prefix="h"))
    home = base / "home"
    yield home
    _remove(home)
    shutil.rmtree(base)


@pytest.fixture
def long_home_dir() -> Iterator[Path]:
    """A home folder whose path is too long for a socket."""
    base = Path(tempfile.mkdtemp(prefix="h"))
    base.chmod(0o755)
    home = base / ("long-" * 24)
    yield home
    _remove(home)
    shutil.rmtree(base)


def _remove(root: Path) -> None:
    EmbeddedServers(root).stop_all()
    home = Home(root)
    for folder in (home.sockets, home.servers, home.root):
        if folder.is_symlink():
            folder.unlink()
        else:
            shutil.rmtree(folder, ignore_errors=True)
