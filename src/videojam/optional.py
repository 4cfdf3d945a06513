"""Packages that only an extra of this one brings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from videojam.errors import VideoJamError


@contextmanager
def from_extra(package: str, extra: str, where: str, otherwise: str = "") -> Iterator[None]:
    """Say how to install a package that the block imports and that is missing.

    Args:
        package: Its name, and what it is needed for.
        extra: What pip installs, as `videojam[plots]`.
        where: Flag, key or verb that asks for it.
        otherwise: What works without it, as "set cut_rule: histogram".

    Raises:
        VideoJamError: the block raised ImportError.
    """
    try:
        yield
    except ImportError as error:
        raise VideoJamError(
            expected=package,
            found=str(error) or type(error).__name__,
            where=where,
            fix=f'Install it: pip install "{extra}"' + (f", or {otherwise}." if otherwise else "."),
        ) from None
