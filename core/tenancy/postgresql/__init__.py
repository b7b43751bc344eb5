"""The PostgreSQL backend that tells every transaction its company, its actor and its role."""
