"""Where a server of this package listens."""

from __future__ import annotations

import socket

from videojam.errors import VideoJamError
from videojam.misfits import reason

LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Addresses that only this machine reaches."""


def require_free(host: str, port: int | None) -> None:
    """Refuse an address and port that can't be bound, before minutes go by or a server tries others on its own.

    Args:
        host: Address.
        port: Of TCP; None where any free one is looked for.

    Raises:
        VideoJamError: no such address, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except (OSError, UnicodeError) as error:
        raise not_free(host, port, error) from None


def not_free(host: str, port: int | None, error: Exception) -> VideoJamError:
    """Return the error of an address and port that can't be bound.

    Args:
        host: Address.
        port: Of TCP; None where any free one was looked for.
        error: What the system said.
    """
    return VideoJamError(
        expected="an address and port that are free",
        found=reason(error),
        where=f"--host {host}" + (f" --port {port}" if port else ""),
        fix="Choose another --port or --host, or stop what uses this one.",
    )
