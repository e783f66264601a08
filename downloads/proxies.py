"""Which proxy a download goes through: the operator's, which holds for all, or one of its own, or none."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from django.conf import settings
from pydantic import SecretStr

from downloads import engine
from jobs import outbound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from downloads.engine.order import SocketAddress
    from downloads.request import DownloadRequest


def usable(given: SecretStr) -> SecretStr:
    """A proxy as it may be asked for. Raises ValueError."""
    if settings.DOWNLOAD_PROXY:
        raise ValueError("all downloads of this installation go through a proxy of its own: leave this out")
    try:
        proxy = engine.parse_proxy(given.get_secret_value())
    except engine.BadOrder as wrong:
        raise ValueError(str(wrong)) from None
    outbound.check_url(f"{proxy.scheme}://{_authority(proxy)}/")
    return given


def chosen(payload: DownloadRequest) -> engine.Proxy | None:
    """A proxy that somebody asks for must have an address that may be reached; the operator's may be anywhere."""
    if settings.DOWNLOAD_PROXY:
        return engine.parse_proxy(settings.DOWNLOAD_PROXY, resolve=_anywhere)
    return engine.parse_proxy(payload.proxy.get_secret_value()) if payload.proxy else None


def _authority(proxy: engine.Proxy) -> str:
    return f"[{proxy.host}]:{proxy.port}" if ":" in proxy.host else f"{proxy.host}:{proxy.port}"


def _anywhere(host: str, port: int) -> Sequence[SocketAddress]:
    return [found[4] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
