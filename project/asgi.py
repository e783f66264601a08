from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from project.exposure import stop_if_unsafe

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
stop_if_unsafe()
application = get_asgi_application()
