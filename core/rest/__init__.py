"""HTTP: the base view and viewset, problems, paging, idempotency. Decodes, makes one call below, encodes."""
