"""Schedules: jobs that are submitted by the clock.

    timing      when: cron lines, intervals, single moments, and what a change of the clock does to them
    misfires    which times that have come get a job
    definition  what a schedule may be
    firing      the dispatcher's part: exactly one fire for each time
    editing     everybody else's: write, pause, resume, run now

Each of its modules is imported by name.
"""
