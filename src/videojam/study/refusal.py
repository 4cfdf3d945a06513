"""What the server answers to a request that it refuses."""

from __future__ import annotations


class RefusedError(Exception):
    """A request that is refused.

    Args:
        status: Of HTTP.
        message: For the rater, in a sentence or two.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message
