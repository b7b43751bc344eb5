"""What is shipped for deployments without the embedded servers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import yaml

from config.embedded import EmbeddedServers
from config.home import PROJECT_DIR
from core.tenancy.guard import LEAKPROOF_FUNCTIONS

BOOTSTRAP = PROJECT_DIR / "deploy" / "postgres" / "bootstrap.sql"
COMPOSE = PROJECT_DIR / "docker-compose.yml"
SECRET = "x" * 50


class TestBootstrap:
    def test_marks_what_the_application_would_mark(self) -> None:
        marked = re.findall(r"ALTER FUNCTION pg_catalog\.(.+) LEAKPROOF;", BOOTSTRAP.read_text())
        assert marked == list(LEAKPROOF_FUNCTIONS)

    @pytest.mark.long
    def test_lets_a_login_without_privileges_migrate(self, home_dir: Path) -> None:
        servers = EmbeddedServers(home_dir)
        servers.ensure_postgres()
        redis = servers.ensure_redis()
        sockets = str(servers.home.sockets)
        psql = [servers.program("psql"), "-X", "-q", "-h", sockets, "-U", "postgres", "-d", "postgres"]
        subprocess.run(
            [*psql, "-f", BOOTSTRAP, "-v", "login=server", "-v", "owner=owner", "-v", "database=other"],
            env={"PATH": os.defpath, "CRM_DATABASE_PASSWORD": SECRET, "CRM_OWNER_PASSWORD": SECRET},
            check=True,
        )
        url = f"postgresql://server@/other?host={sockets}"
        environment = {
            "PATH": os.defpath,
            "DJANGO_SETTINGS_MODULE": "config.settings.production",
            "SECRET_KEY": SECRET,
            "JWT_KEYS": f"a:{SECRET}",
            "ALLOWED_HOSTS": "crm.example.com",
            "DATABASE_URL": url,
            "REDIS_URL": redis,
        }
        migrate = [sys.executable, "manage.py", "migrate", "-v", "0", "--skip-checks"]
        for _ in range(2):
            owner = {"MIGRATE_DATABASE_URL": f"postgresql://owner@/other?host={sockets}"}
            subprocess.run(migrate, cwd=PROJECT_DIR, env={**environment, **owner}, check=True)
        look = [sys.executable, "manage.py", "check", "--database", "default"]
        subprocess.run(look, cwd=PROJECT_DIR, env=environment, check=True)
        # The owner may not serve.
        wrong = {**environment, "DATABASE_URL": owner["MIGRATE_DATABASE_URL"]}
        serve = [sys.executable, "-c", "import config.rsgi"]
        refused = subprocess.run(
            serve, cwd=PROJECT_DIR, env=wrong, check=False, capture_output=True, text=True
        )
        assert refused.returncode == 1
        assert "The database login owner owns tables" in refused.stderr
        subprocess.run(serve, cwd=PROJECT_DIR, env=environment, check=True)
        with psycopg.connect(url) as connection:
            owners = connection.execute(
                "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
            )
            assert owners.fetchall() == [("owner",)]
            connection.execute("SET ROLE crm_app")
            assert connection.execute("SELECT count(*) FROM core_company").fetchone() == (0,)


class TestCompose:
    def test_every_service_is_watched(self) -> None:
        services = yaml.safe_load(COMPOSE.read_text())["services"]
        unwatched = {name for name, service in services.items() if "healthcheck" not in service}
        assert unwatched == {"mail", "migrate"}

    def test_names_files_that_are_there(self) -> None:
        services = yaml.safe_load(COMPOSE.read_text())["services"]
        build = services["web"]["build"]
        folder = COMPOSE.parent / build["context"]
        mounted = [
            volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())
        ]
        named = [
            folder / build["dockerfile"],
            *(COMPOSE.parent / path for path in mounted if path.startswith(".")),
        ]
        assert len(named) == 2
        assert [path for path in named if not path.is_file()] == []

    def test_gives_production_settings_all_they_demand(self) -> None:
        web = yaml.safe_load(COMPOSE.read_text())["services"]["web"]
        environment = {
            name: re.sub(r"\$\{\w+(:[?-][^}]*)?\}", "true" if name == "HTTPS" else f"k:{SECRET}", value)
            for name, value in web["environment"].items()
        }
        environment["DATABASE_URL"] = "postgresql://crm:secret@postgres:5432/crm"
        subprocess.run(
            [sys.executable, "-c", "from django.conf import settings; settings.DATABASES"],
            cwd=PROJECT_DIR,
            env={"PATH": os.defpath, "DJANGO_SETTINGS_MODULE": "config.settings.production", **environment},
            check=True,
        )
