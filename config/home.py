"""Where a running system keeps its files: everything below one folder, computed from names alone.

Nothing here touches the disk beyond reading permissions, so settings may import it.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parent.parent

# The kernel refuses socket addresses above 107 bytes; PostgreSQL also creates "<socket>.lock" beside it.
_LONGEST_SOCKET_PATH = 100
_POSTGRES_SOCKET = ".s.PGSQL.5432"


def home_for(settings_module: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The home folder: `CRM_HOME` or `.local` in the checkout; each process of tests gets its own one inside it.

    Transactions of all databases of a cluster hold back the change stream, so parallel tests share none.
    """
    home = Path(environ.get("CRM_HOME") or PROJECT_DIR / ".local").expanduser().absolute()
    if not settings_module.endswith(".test"):
        return home
    return home / "-".join(filter(None, ("test", environ.get("PYTEST_XDIST_WORKER"))))


@dataclass(frozen=True)
class Home:
    """Paths below a home folder. `servers` moves away where the servers' own account could not reach it."""

    root: Path

    @property
    def secrets_file(self) -> Path:
        return self.root / "secrets.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def media(self) -> Path:
        return self.root / "media"

    @property
    def servers(self) -> Path:
        """The folder of the embedded servers' data.

        PostgreSQL refuses to run as root, so root starts it as `nobody`, who cannot pass a private
        folder such as root's own home: the data then lives in the system's persistent temporary folder.
        """
        if os.geteuid() != 0 or passable_by_others(self.root):
            return self.root
        return Path("/var/tmp") / f"crm-{self._digest}"  # noqa: S108 - ownership is checked when it is created

    @property
    def sockets(self) -> Path:
        """The folder of the servers' Unix sockets; elsewhere when the path would be too long for one."""
        folder = self.servers / "run"
        if len(os.fsencode(folder / f"{_POSTGRES_SOCKET}.lock")) <= _LONGEST_SOCKET_PATH:
            return folder
        return Path(tempfile.gettempdir()) / f"crm-{self._digest}"

    @property
    def postgres_socket(self) -> Path:
        return self.sockets / _POSTGRES_SOCKET

    @property
    def redis_socket(self) -> Path:
        return self.sockets / "redis.sock"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]


def passable_by_others(folder: Path) -> bool:
    """Whether any account may pass through `folder` and all folders above it (absent ones will be)."""
    return all(
        ancestor.stat().st_mode & stat.S_IXOTH for ancestor in (folder, *folder.parents) if ancestor.exists()
    )
