"""The change log as people read it: explorer, reviews, reverts, policies, seals, exports and compliance reports.

The log itself is written by `core.changes`; nothing here can change an entry of it.
"""
