"""Packages of extras: what is missing, who asks for it, how to get it, what works without it."""

from __future__ import annotations

import pytest

from videojam.errors import VideoJamError
from videojam.optional import from_extra


def test_a_missing_package_is_named_with_what_installs_it_and_what_works_without():
    with pytest.raises(VideoJamError) as caught, from_extra("no-such, to draw", "videojam[plots]", "plot"):
        import no_such_package  # noqa: F401
    error = caught.value
    assert (error.expected, error.found) == ("no-such, to draw", "No module named 'no_such_package'")
    assert (error.where, error.fix) == ("plot", 'Install it: pip install "videojam[plots]".')
    with (
        pytest.raises(VideoJamError, match=r"\[cuts\]\", or use cut_rule: histogram\."),
        from_extra("x", "videojam[cuts]", "cut_rule", "use cut_rule: histogram"),
    ):
        raise ImportError
    with from_extra("json", "json", "here"):
        import json
    assert json.loads("1") == 1
    with pytest.raises(ValueError, match="its own"), from_extra("x", "x", "x"):
        raise ValueError("its own")
