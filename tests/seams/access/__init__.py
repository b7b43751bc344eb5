"""Users of the seams of `core.access`: a company's own fields, field modes of roles, shared records."""
