"""The few calls of the public API that the demo needs."""

from __future__ import annotations

from typing import Any

import requests


class DemoFailedError(Exception):
    """The platform did not do what the demo asked; the message says what."""


class Api:
    def __init__(self, root: str) -> None:
        self._root = root
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy for the internet has no way to our loopback

    def submit(self, collection: str, **body: Any) -> dict[str, Any]:
        return self._ask("POST", f"/api/v1/{collection}", body)

    def get(self, collection: str, name: str) -> dict[str, Any]:
        return self._ask("GET", f"/api/v1/{collection}/{name}")

    def healthy(self) -> bool:
        try:
            self._ask("GET", "/health")
        except DemoFailedError:
            return False
        return True

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = self._session.request(method, self._root + path, json=body, timeout=10)
        except requests.RequestException as error:
            raise DemoFailedError(f"The API cannot be reached: {error}") from error
        if not response.ok:
            raise DemoFailedError(f"{method} {path} was answered with {response.status_code}: {response.text}")
        answer: dict[str, Any] = response.json()
        return answer
