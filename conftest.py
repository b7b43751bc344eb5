"""Options of the whole suite, and the servers below it."""

import os

import pytest

from config import embedded

_SERVERS = pytest.StashKey[embedded.EmbeddedServers]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests marked `long`")


def pytest_configure(config: pytest.Config) -> None:
    is_controller = not hasattr(config, "workerinput") and bool(config.getoption("numprocesses", None))
    if is_controller or config.option.collectonly:
        return
    servers = embedded.for_settings(os.environ["DJANGO_SETTINGS_MODULE"])
    if not any(status.pid for status in servers.status()):
        config.stash[_SERVERS] = servers
    embedded.ensure_for(os.environ["DJANGO_SETTINGS_MODULE"])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers if this run started them; their data stays for the next one."""
    servers = config.stash.get(_SERVERS, None)
    if servers is not None:
        servers.stop_all()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="takes long; run with --long")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)
