"""The HTTP of reports."""
