from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from project.exposure import stop_if_unsafe

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
stop_if_unsafe()
application = get_wsgi_application()
