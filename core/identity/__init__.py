"""Companies, people, roles, sessions, API keys: who may be here at all."""
