from project import lean  # noqa: F401 - before anything imports what it is about
from project.celery import app as celery_app

__all__ = ["celery_app"]
