"""The embedded stack: Postgres and Valkey out of their wheels, and Haulway's own processes, under one parent.

`stack` decides what runs and in which order; `supervisor` starts, restarts and stops; `guardian` sees to it that
nothing outlives the parent, however the parent ends.
"""
