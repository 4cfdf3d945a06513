"""How often one network address may join an open study."""

from __future__ import annotations

import threading
import time
from collections import deque
from ipaddress import IPv6Address, ip_address

WINDOW_S = 3600.0
MAX_ADDRESSES = 10_000
IPV6_HOST_BITS = 64
"""One connection has so many bits of IPv6 addresses to itself: they count as one address."""


class JoinLimit:
    """A sliding window of an hour for each address.

    Args:
        per_hour: Most who may join from one address within an hour.
    """

    def __init__(self, per_hour: int) -> None:
        self._per_hour = per_hour
        self._times: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def allows(self, address: str) -> bool:
        """Whether one more may join from an address now; if so, they are counted."""
        address, now = _connection_of(address), time.monotonic()
        with self._lock:
            if len(self._times) >= MAX_ADDRESSES:
                self._times = {a: times for a, times in self._times.items() if times[-1] > now - WINDOW_S}
            times = self._times.setdefault(address, deque())
            while times and times[0] <= now - WINDOW_S:
                times.popleft()
            if len(times) >= self._per_hour:
                return False
            times.append(now)
            return True


def _connection_of(address: str) -> str:
    """Return what addresses of one connection share."""
    try:
        found = ip_address(address)
    except ValueError:  # a name that a proxy gave
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(IPv6Address(int(found) >> IPV6_HOST_BITS << IPV6_HOST_BITS))
