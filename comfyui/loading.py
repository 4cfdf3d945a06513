"""A joint model from one file: its record and channels from the header, its weights by ComfyUI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from videojam.errors import VideoJamError
from videojam.models.record import MotionRecord
from videojam.models.single_file import read_single_file

from .latents import JointFormat, base_format


def load_joint(path: str, model_options: dict[str, Any] | None = None, **how: Any) -> Any:
    """Load a joint transformer with ComfyUI's own loader, and give it a latent format of 2C channels.

    Args:
        path: File that `videojam export --single-file` wrote.
        model_options: Of ComfyUI's loader.
        how: More of it.

    Raises:
        VideoJamError: the file holds no joint model.
    """
    import comfy.sd

    single = read_single_file(path)
    record = _required(single.record, path)
    model = comfy.sd.load_diffusion_model(path, model_options=model_options or {}, **how)
    inner = model.model
    inner.latent_format = JointFormat(
        base_format(inner.latent_format, single.num_channels), record.motion.gain
    )
    model.cached_patcher_init = (
        load_joint,
        (path, model_options),
    )  # how ComfyUI loads it again, for another GPU
    return model


def read_joint_record(path: str) -> MotionRecord:
    """Return the motion record in a file's header.

    Raises:
        VideoJamError: there is none.
    """
    return _required(read_single_file(path).record, path)


def _required(record: MotionRecord | None, path: str) -> MotionRecord:
    if record is None:
        raise VideoJamError(
            expected="a joint model, with its motion record in the header",
            found="a base",
            where=Path(path).name,
            fix="Load it with the node Load Diffusion Model, or export a joint model in its place.",
        )
    return record
