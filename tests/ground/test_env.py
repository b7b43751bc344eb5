"""Settings out of the environment."""

import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.env import Environment, celery_url
from config.home import PROJECT_DIR

SECRET = "x" * 50


def load_production(**environment: str) -> subprocess.CompletedProcess[str]:
    code = "from django.conf import settings; print(settings.DATABASES['default']['HOST'])"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_DIR,
        env={"PATH": os.defpath, "DJANGO_SETTINGS_MODULE": "config.settings.production", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


class TestProduction:
    def test_names_everything_that_is_missing_or_wrong_at_once(self) -> None:
        result = load_production(READ_POLICY="maybe", HTTPS="perhaps")
        assert result.returncode == 1
        for name in ("SECRET_KEY", "DATABASE_URL", "REDIS_URL", "ALLOWED_HOSTS", "JWT_KEYS"):
            assert f"{name} is not set" in result.stderr
        assert "READ_POLICY must be one of strict, narrow" in result.stderr
        assert "HTTPS must be true or false" in result.stderr

    def test_loads_when_all_is_there(self) -> None:
        result = load_production(
            SECRET_KEY=SECRET,
            JWT_KEYS=f"a:{SECRET}",
            ALLOWED_HOSTS="crm.example.com",
            DATABASE_URL="postgresql://crm:secret@db:5432/crm",
            REDIS_URL="redis://redis:6379/0",
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout == "db\n"


class TestEnvironment:
    def test_reads_a_database_url(self) -> None:
        url = "postgresql://us%40er:p%3Aw@db.example.com:6432/crm?sslmode=require"
        assert Environment({"DATABASE_URL": url}).database("DATABASE_URL") == {
            "NAME": "crm",
            "USER": "us@er",
            "PASSWORD": "p:w",
            "HOST": "db.example.com",
            "PORT": "6432",
            "OPTIONS": {"sslmode": "require"},
        }

    @pytest.mark.parametrize("url", ["mysql://db/crm", "postgresql://db", "postgresql://db:port/crm", "crm"])
    def test_refuses_what_is_no_database_url(self, url: str) -> None:
        env = Environment({"DATABASE_URL": url})
        env.database("DATABASE_URL")
        with pytest.raises(ImproperlyConfigured, match="DATABASE_URL"):
            env.check()

    def test_reads_keys_in_order(self) -> None:
        env = Environment({"JWT_KEYS": f"new:{SECRET}, old:{SECRET}"})
        assert list(env.keys("JWT_KEYS")) == ["new", "old"]

    @pytest.mark.parametrize("keys", ["new", "new:short", f":{SECRET}", f"a:{SECRET},a:{SECRET}"])
    def test_refuses_keys_that_are_weak_or_unclear(self, keys: str) -> None:
        env = Environment({"JWT_KEYS": keys})
        env.keys("JWT_KEYS")
        with pytest.raises(ImproperlyConfigured, match="JWT_KEYS"):
            env.check()

    def test_an_empty_variable_is_not_set(self) -> None:
        assert Environment({"EMAIL_PORT": " "}).integer("EMAIL_PORT", 25) == 25

    @pytest.mark.parametrize(("text", "fault"), [("many", "not a whole number"), ("0", "at least 1")])
    def test_refuses_a_wrong_number(self, text: str, fault: str) -> None:
        env = Environment({"EMAIL_PORT": text})
        env.integer("EMAIL_PORT", 25, minimum=1)
        with pytest.raises(ImproperlyConfigured, match=fault):
            env.check()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("unix:///run/redis.sock?db=3", "redis+socket:///run/redis.sock?virtual_host=3"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=0"),
        ("redis://redis:6379/1", "redis://redis:6379/1"),
    ],
)
def test_celery_finds_the_same_redis(url: str, expected: str) -> None:
    assert celery_url(url) == expected
