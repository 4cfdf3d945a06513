"""A plain clip."""

from __future__ import annotations

from pathlib import Path

import pytest
from video_files import numbered_frames

from videojam.motion.video import write_video


@pytest.fixture(scope="session")
def plain(tmp_path_factory) -> Path:
    """25 frames of 48 × 64 at 12 fps."""
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    write_video(path, numbered_frames(25, 48, 64), fps=12)
    return path
