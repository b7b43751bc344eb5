"""What the system is measured against: a bare application, and common frameworks over the same rows."""
