"""Approvals: a process says who has to agree to a record's values; a request goes through its steps.

`engine` counts votes; `routing` says which step comes next and who decides there; `operations` write.
"""
