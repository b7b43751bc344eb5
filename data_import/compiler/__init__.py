"""From settings, headers and the registry to the SQL that reads, checks and writes the rows of a file.

Words: a *target* is a field of the entity that is filled; its *value* is one canonical text or null; a *verdict* is the
code of what is wrong with a value, or null.
"""
