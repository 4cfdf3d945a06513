"""Addresses and ports that can't be bound are refused before anything is loaded."""

from __future__ import annotations

import socket

import pytest

from videojam.addresses import require_free
from videojam.errors import VideoJamError


def test_a_port_that_is_taken_and_an_address_of_another_machine():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(VideoJamError, match=f"--port {port}: .*in use"):
            require_free("127.0.0.1", port)
    require_free("127.0.0.1", port)
    with pytest.raises(
        VideoJamError, match=r"--host 192\.0\.2\.1: "
    ):  # of documentation, never this machine's
        require_free("192.0.2.1", None)
    with pytest.raises(VideoJamError, match="--host"):
        require_free("a..b", 8000)
