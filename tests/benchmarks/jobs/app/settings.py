"""The project's settings with one address more; everything else is what production has."""

from project.settings import *  # noqa: F403 - that is the purpose

ROOT_URLCONF = "tests.benchmarks.jobs.app.urls"
