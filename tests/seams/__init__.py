"""An app of the tests alone, installed by their settings: one user of each seam that capabilities plug into.

Nothing in the house knows of it. The conformance suites meet its entity, routes, actions and gates by looping over the
registries, which proves that whatever comes after it is covered without a test of its own.
"""
