"""The pure part of imports: what a file holds, its records, and what becomes of a cell.

Nothing here knows Django, a database or the clock. `detect` looks at a file, `records` streams it,
`mapping` and `formats` propose settings, `transforms` turn raw cells into values (in Python and,
where the meaning is the same, as one PostgreSQL expression).
"""
