"""How fast the system is beside what it cannot do without: ratios measured in one run, never seconds alone."""
