"""Automation: rules that act on what happens to records. Knows entities through the registry alone."""
