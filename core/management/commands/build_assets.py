"""`manage.py build_assets`: the charts' script as a static file of ours, made from an installed package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandParser

ENTRY = "window.vegaEmbed=vegaEmbed;"


class Command(BaseCommand):
    help = "Build what the back office serves but the repository does not keep. Does nothing where it is there already."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--again", action="store_true", help="Build anew")

    def handle(self, *args: Any, **options: Any) -> None:
        target = Path(apps.get_app_config("core").path) / "static" / "backoffice" / "vega.js"
        if target.exists() and not options["again"]:
            return
        try:
            import vl_convert
        except ModuleNotFoundError:
            # Without the optional package the home page shows its tables alone.
            self.stderr.write("vl-convert-python is not installed: charts are not drawn in the browser.")
            return
        partial = target.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(vl_convert.javascript_bundle(ENTRY), encoding="utf-8")
        partial.replace(target)
        self.stdout.write(f"Built {target.name}, {target.stat().st_size // 1024} kB.")
