#!/usr/bin/env python
"""Django's command line. Commands that touch data find the embedded servers running."""

import os
import sys

# These look at code only, or start and stop the servers themselves.
WITHOUT_SERVERS = {
    "build_reference",
    "check",
    "collectstatic",
    "help",
    "makemigrations",
    "services",
    "spectacular",
    "up",
    "version",
    "--help",
    "--version",
}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    from config import embedded

    if len(sys.argv) > 1 and sys.argv[1] not in WITHOUT_SERVERS:
        try:
            embedded.ensure_for(os.environ["DJANGO_SETTINGS_MODULE"])
        except embedded.EmbeddedServerError as error:
            sys.exit(str(error))

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
