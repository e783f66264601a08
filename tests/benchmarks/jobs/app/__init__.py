"""A Django app that only the benchmarks install (EXTRA_APPS): kinds to run, and a view to compare our API with."""
