"""What Haulway survives, shown by breaking it: `python -m tests.chaos` runs every scenario and prints one table.

`scenarios/` says what is broken and what must hold; `stage` has the processes and servers that a scenario breaks,
`load` gives them work, `verdict` counts what became of every job, and `report` prints it.
"""
