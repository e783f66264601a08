"""How the HTTP API reads, answers and is documented. Nothing here is for an operator to set."""

from __future__ import annotations

from typing import Any

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_RENDERER_CLASSES": ["jobs.api.rendering.Renderer"],
    "DEFAULT_PARSER_CLASSES": ["jobs.api.bodies.BoundedJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "jobs.api.negotiation.Negotiation",
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "jobs.api.access.ByToken",
        "jobs.api.access.BySession",
        "jobs.api.access.AtThisMachine",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["jobs.api.access.ByRole"],
    "DEFAULT_THROTTLE_CLASSES": ["jobs.api.throttle.PerCaller"],
    "EXCEPTION_HANDLER": "jobs.api.problems.problem_response",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Haulway",
    "DESCRIPTION": "Jobs and downloads: submit work over HTTP, have it done, lose nothing.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": REST_FRAMEWORK["DEFAULT_PERMISSION_CLASSES"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "AUTHENTICATION_WHITELIST": ["jobs.api.access.ByToken", "jobs.api.access.BySession"],
    "POSTPROCESSING_HOOKS": ["jobs.api.openapi.components"],
}
