"""The web server's entry in a chaos run: the real application, or the real one with a fault put into it on purpose."""

from config.rsgi import application
from tests.chaos import seeded, work

# How often a job is tried is written when it is made.
work.be_quick()
seeded.install()

__all__ = ["application"]
