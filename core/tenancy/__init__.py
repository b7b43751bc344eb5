"""Companies kept apart: the context every statement runs in, the scoped base model, and the database's own lock."""
