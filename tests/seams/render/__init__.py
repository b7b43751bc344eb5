"""A format of files that another app adds."""
