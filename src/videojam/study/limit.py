"""How often one network address may join an open study."""

from __future__ import annotations

import threading
import time
from collections import deque

WINDOW_S = 3600.0
MAX_ADDRESSES = 10_000


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
        now = time.monotonic()
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
