"""Each peer as an application of its own would use it.

A module is imported by the peer's own workers and by the submitter. It has `single(count)` and, where the peer has a
way to submit many at once, `bulk(count)`. The job itself is `tally.note`, the same everywhere.
"""
