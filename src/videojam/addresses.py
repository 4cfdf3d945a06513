"""Where a server of this package listens."""

from __future__ import annotations

from videojam.errors import VideoJamError
from videojam.misfits import reason

LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Addresses that only this machine reaches."""


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
