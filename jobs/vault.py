"""How secrets are encrypted: under a key that is derived from SECRET_KEY.

Imported by who has a secret in hand, and by nobody before: the library takes eight megabytes of every process.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


def encrypt(secret: str) -> str:
    return _box().encrypt(secret.encode()).decode()


def decrypt(token: str) -> str:
    """What was encrypted under SECRET_KEY or one of SECRET_KEY_FALLBACKS. Raises ValueError for anything else."""
    try:
        return _box().decrypt(token).decode()
    except InvalidToken:
        raise ValueError("was sealed under another SECRET_KEY: add that one to SECRET_KEY_FALLBACKS") from None


def _box() -> MultiFernet:
    return _box_of((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=4)
def _box_of(keys: Iterable[str]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    """A key for this purpose alone: what leaks here says nothing of the sessions that SECRET_KEY also signs."""
    material = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"haulway sealed secrets").derive(key.encode())
    return base64.urlsafe_b64encode(material)
