"""The web server's entry in a chaos run: the real application, or the real one with a fault put into it on purpose."""

from tests.chaos import seeded

seeded.install()

from config.wsgi import application  # noqa: E402

__all__ = ["application"]
