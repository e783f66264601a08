"""A Django app that only the chaos suite installs (EXTRA_APPS): kinds whose every run leaves a trace."""
