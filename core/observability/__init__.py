"""How a running system tells what it does: the correlation id and structured logs."""
