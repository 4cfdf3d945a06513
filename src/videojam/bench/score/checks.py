"""Is a clip what its arm's other clips are: length, size, frame rate; and is anything in it?"""

from __future__ import annotations

from videojam.bench.manifest import Manifest
from videojam.motion.video import Clip

FPS_TOLERANCE = 0.01
STILL_LEVELS = 0.25
"""Mean change from frame to frame, in levels of 255, that encoding by itself may make."""
BLACK_LEVEL = 16


def problem_of(clip: Clip, expected: Manifest) -> str | None:
    """Return why a clip can't stand beside its arm's others; it is then in no figure."""
    num_frames, _, height, width = clip.frames.shape
    if expected.num_frames and num_frames != expected.num_frames:
        found = f"{num_frames} frames, where the arm's clips have {expected.num_frames}"
        return (
            f"{found} (import with --any-length to score every length)"
            if expected.kind == "import"
            else found
        )
    if expected.height and (height, width) != (expected.height, expected.width):
        return f"{width}×{height} px, where the arm's clips have {expected.width}×{expected.height}"
    if expected.fps and abs(clip.fps - expected.fps) > FPS_TOLERANCE * expected.fps:
        return f"{clip.fps:g} fps, where the arm's clips have {expected.fps:g}"
    return None


def notice_of(clip: Clip) -> str | None:
    """Return what is odd about a clip that counts all the same: a model must not lose its failures."""
    if int(clip.frames.max()) < BLACK_LEVEL:
        return "black"
    if len(clip.frames) > 1:
        change = (clip.frames[1:].int() - clip.frames[:-1].int()).abs()
        if float(change.float().mean(dim=(1, 2, 3)).max()) < STILL_LEVELS:
            return "still"
    return None
