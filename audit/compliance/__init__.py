"""Reports that the log answers questions of compliance with."""
