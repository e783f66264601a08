"""Secrets in payloads: encrypted in the database, masked wherever they are shown, clear to the handler alone.

A payload model declares a field as `Secret`. What is stored in its place is `{"sealed": token}`, encrypted under a
key that is derived from SECRET_KEY; tokens of the keys in SECRET_KEY_FALLBACKS can still be opened.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Annotated, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from pydantic import BaseModel, BeforeValidator, PlainSerializer, SecretStr

MASK = "***"
_FIELD = "sealed"
_SHORTEST = 4  # characters; to star shorter texts would spoil whatever has them by chance


def keeps_secrets(payload: type[BaseModel]) -> bool:
    """Whether a payload of this model can hold a Secret, at any depth."""
    return '"writeOnly": true' in json.dumps(payload.model_json_schema())


def masked(value: Any) -> Any:
    """A stored payload as it may be shown to people."""
    if isinstance(value, dict):
        return MASK if _is_sealed(value) else {name: masked(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    return value


def revealed(payload: Any) -> frozenset[str]:
    """The secrets that a payload holds, in clear, at any depth; without those too short to be one."""
    match payload:
        case SecretStr():
            secret = payload.get_secret_value()
            return frozenset({secret} if len(secret) >= _SHORTEST else ())
        case BaseModel():
            parts: Iterable[Any] = payload.__dict__.values()
        case dict():
            parts = payload.values()
        case list() | tuple() | set():
            parts = payload
        case _:
            return frozenset()
    return frozenset().union(*map(revealed, parts))


def without(secrets: Collection[str], value: Any) -> Any:
    """Some JSON, such as an error or a result, with stars wherever one of these secrets got into it."""
    if isinstance(value, str):
        for secret in sorted(secrets, key=len, reverse=True):
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, dict):
        return {without(secrets, name): without(secrets, inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [without(secrets, inner) for inner in value]
    return value


def unmasked(given: Any, stored: Any) -> Any:
    """A payload that was shown masked and comes back edited: what is still masked is what is stored."""
    if isinstance(given, dict) and isinstance(stored, dict):
        return {name: unmasked(inner, stored.get(name)) for name, inner in given.items()}
    if isinstance(given, list) and isinstance(stored, list) and len(given) == len(stored):
        return [unmasked(inner, was) for inner, was in zip(given, stored, strict=True)]
    return stored if given == MASK and _is_sealed(stored) else given


def _is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == [_FIELD]


def _seal(secret: SecretStr) -> dict[str, str]:
    return {_FIELD: _box().encrypt(secret.get_secret_value().encode()).decode()}


def _open(given: Any) -> Any:
    if not _is_sealed(given):
        return given
    try:
        return _box().decrypt(str(given[_FIELD])).decode()
    except InvalidToken:
        raise ValueError("was sealed under another SECRET_KEY: add that one to SECRET_KEY_FALLBACKS") from None


Secret = Annotated[SecretStr, BeforeValidator(_open), PlainSerializer(_seal, return_type=dict[str, str])]
"""A string that is kept encrypted. In a handler it is a pydantic SecretStr."""


def _box() -> MultiFernet:
    return _box_of((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=4)
def _box_of(keys: Iterable[str]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    """A key for this purpose alone: what leaks here says nothing of the sessions that SECRET_KEY also signs."""
    material = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"haulway sealed secrets").derive(key.encode())
    return base64.urlsafe_b64encode(material)
