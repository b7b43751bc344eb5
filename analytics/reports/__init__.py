"""Reports: pivots over live records, their charts and files, dashboards of them, and their delivery by schedule.

`definitions` reads what people ask for against the caller's view of the records; `compiling` makes one statement of it;
`engine` lays out the answer; `queries` runs both.
"""
