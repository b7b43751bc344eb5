"""The web server's entry in a chaos run: the real application, or the real one with a fault put into it on purpose."""

from config.wsgi import application
from tests.chaos import seeded

seeded.install()

__all__ = ["application"]
