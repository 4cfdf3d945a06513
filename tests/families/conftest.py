"""A base and its joint model of each trained family."""

from __future__ import annotations

import pytest
from family_kinds import KINDS, Case

from videojam.joint.convert import convert


@pytest.fixture(scope="session", params=KINDS)
def case(request, tmp_path_factory):
    """A row of the table, with its folders."""
    folder = tmp_path_factory.mktemp(request.param)
    kind = KINDS[request.param]
    base = kind.write(folder / "base")
    return Case(kind, base, convert(base, folder / "joint"))
