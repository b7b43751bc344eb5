from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from django.apps import AppConfig, apps

PROJECT_DIR = Path(__file__).resolve().parent.parent
# What an app, or a subject package of it, may declare: extension points of its own first, then what it adds to others'.
DISCOVERED_ROOMS = ("registries", "entities", "actions", "extensions", "consumers", "tasks")


class CoreConfig(AppConfig):
    name = "core"
    verbose_name = "Core"

    def ready(self) -> None:
        """Load every app's declarations, then freeze the registries. No other app has start-up logic."""
        from core import checks  # noqa: F401 - registers them
        from core.kernel.registry import freeze_all

        for room in DISCOVERED_ROOMS:
            for module in modules_named(room):
                import_module(module)
        freeze_all()


def modules_named(room: str) -> Iterator[str]:
    """The module of that name in every app of the project and in each of its subject packages."""
    for app in apps.get_app_configs():
        if not Path(app.path).is_relative_to(PROJECT_DIR) or "site-packages" in app.path:
            continue
        for package, path in [(app.name, app.path), *_packages_in(app)]:
            if any((Path(path) / form).exists() for form in (f"{room}.py", f"{room}/__init__.py")):
                yield f"{package}.{room}"


def _packages_in(app: AppConfig) -> list[tuple[str, str]]:
    return [
        (f"{app.name}.{item.name}", f"{app.path}/{item.name}")
        for item in pkgutil.iter_modules([app.path])
        if item.ispkg and item.name not in ("migrations", "management")
    ]
