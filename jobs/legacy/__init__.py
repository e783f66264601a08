"""Doors that clients of the five older systems know: same paths, same words, and no logic of their own.

A file per system: downloader (000, its downloads are in downloads/legacy.py), scheduler (001), task_queue (002),
reliable_queue (003), scraper (004). Each translates its dialect to the lifecycle's verbs and back.
"""
