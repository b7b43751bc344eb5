"""Every write of audit."""
