"""Endpoints of workflows and their runs."""
