"""Sign-in, people, roles, keys and the company over HTTP."""
