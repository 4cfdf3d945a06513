"""A motion video file back to the flow that it draws."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.misfits import reason
from videojam.models.record import MotionRecord
from videojam.motion.code import MotionCode
from videojam.motion.video import read_video
from videojam.sampling.manifest import MANIFEST_NAME, read_manifest


def read_motion(path: str | Path, code: MotionCode | None = None) -> Float[Tensor, "num_flows 2 h w"]:
    """Read the flow that a motion video draws, Eq. 5 inverted; frames are read at the file's own rate and size.

    The file is lossy: `generate` also writes the flow as it was sampled, beside it as `.flow.safetensors`.

    Args:
        path: Video file, for instance the `.motion.mp4` that `generate` wrote.
        code: How it was drawn; by default that of the model's record in the `manifest.json` beside the file.

    Returns:
        (u, v) in px/frame from each of the T frames to the next, float32 `[T-1, 2, H, W]`.

    Raises:
        VideoJamError: the file is no video or has a single frame; or no manifest says how it was drawn.
    """
    frames = read_video(path).frames
    return (code or _recorded_code(Path(path))).read(frames)


def _recorded_code(path: Path) -> MotionCode:
    manifest = path.parent / MANIFEST_NAME
    content = read_manifest(manifest)
    record = content.get("record") if content else None
    if content is None or record is None:
        raise VideoJamError(
            expected=f"the {MANIFEST_NAME} of a joint model's clips beside the file, which says how motion was drawn",
            found="no such file" if content is None else "one of a base model",
            where=str(manifest),
            fix="Give the motion code as code=, for instance that of load_model(MODEL).record.motion.",
        )
    try:
        return MotionRecord.model_validate(record).motion
    except ValueError as error:
        raise VideoJamError(
            expected="a motion record that this version reads",
            found=reason(error),
            where=str(manifest),
            fix="Give the motion code as code=, for instance that of load_model(MODEL).record.motion.",
        ) from None
