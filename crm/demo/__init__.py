"""An invented company with two years of history: `seed_demo` makes it, the same one for the same seed."""

from crm.demo.seeding import Seeded, seed_demo

__all__ = ["Seeded", "seed_demo"]
