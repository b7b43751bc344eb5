"""How statements reach PostgreSQL: prepared once per connection, and several of them in one round trip.

Knows nothing of companies; `core.tenancy.postgresql` adds what a transaction must be told about its context.
"""
