"""Tamper evidence: seals over the log's entries, their proofs, and what finds a changed one."""
