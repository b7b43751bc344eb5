"""Policies: conditions over entries of the log, as JSON or as a line of text."""
