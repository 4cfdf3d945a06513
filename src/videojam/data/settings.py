"""How clips are cut, resized and encoded when a data set is prepared."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from videojam.data.cuts import THRESHOLD, Rule
from videojam.errors import VideoJamError
from videojam.misfits import ContradictionError
from videojam.motion.code import MotionCode
from videojam.motion.estimators import OnFirstUse
from videojam.motion.upright import Fit
from videojam.strict import FrameRate, Strict


class Bucket(Strict):
    """A size of prepared clips."""

    num_frames: int = Field(description="Frames; 4k+1 for causal autoencoders.", ge=2)
    height: int = Field(description="Height in px.", ge=16)
    width: int = Field(description="Width in px.", ge=16)

    def __str__(self) -> str:
        """Write it as users do: `33x256x448`."""
        return f"{self.num_frames}x{self.height}x{self.width}"


def parse_bucket(text: str) -> Bucket:
    """Read a bucket as users write it: FRAMESxHEIGHTxWIDTH.

    Raises:
        VideoJamError: it is none.
    """
    match = re.fullmatch(r"(\d+)[x×](\d+)[x×](\d+)", text.strip())
    if match is None or int(match[1]) < 2 or min(int(match[2]), int(match[3])) < 16:
        raise VideoJamError(
            expected="FRAMESxHEIGHTxWIDTH with at least 2 frames and 16 px",
            found=repr(text),
            where="bucket",
            fix="Write for instance 33x256x448.",
        )
    return Bucket(num_frames=int(match[1]), height=int(match[2]), width=int(match[3]))


class ClipSettings(Strict):
    """How files become clips of fixed sizes."""

    buckets: tuple[Bucket, ...] = Field(
        description="Sizes; a clip gets that of the nearest shape, and of these the longest that it fills.",
        min_length=1,
    )
    fps: FrameRate = Field(description="Frames a second; frames are chosen by their times.")
    fit: Fit = Field(
        "crop", description="A picture of another shape is cropped at its centre, or gets black bars."
    )
    cuts: Literal["ignore", "first", "split"] = Field(
        "ignore",
        description="Scene cuts: not looked for; only the first scene is used; or each scene is a clip.",
    )
    cut_rule: Rule = Field(
        "histogram",
        description="Cuts are where colours change at once, or what the network TransNetV2 finds (videojam[cuts]), "
        "dissolves too.",
    )
    cut_threshold: float = Field(
        THRESHOLD,
        description="Of histogram: share of pixels that have to change their colour bin at a cut.",
        gt=0,
        le=1,
    )
    windows: Literal["first", "all"] = Field(
        "first", description="Of a scene longer than a clip: its start, or one clip after another."
    )
    min_s: float = Field(0.0, description="Scenes shorter than this, in s, are left out.", ge=0)
    min_motion: float | None = Field(
        None,
        description="Leave out clips whose mean speed is below this share of the diagonal per frame (too still).",
        ge=0,
    )
    max_motion: float | None = Field(
        None,
        description="Leave out clips whose mean speed is above this share of the diagonal per frame (too wild).",
        gt=0,
    )

    @model_validator(mode="after")
    def _consistent(self) -> ClipSettings:
        if len(set(self.buckets)) < len(self.buckets):
            raise ContradictionError("each bucket once", {"buckets": ", ".join(map(str, self.buckets))})
        if None not in (self.min_motion, self.max_motion) and not self.min_motion < self.max_motion:  # type: ignore[operator]
            raise ContradictionError(
                "a min_motion below max_motion",
                {"min_motion": self.min_motion, "max_motion": self.max_motion},
            )
        return self


class PrepareSettings(Strict):
    """All that decides what a prepared folder holds, besides its clips and the base."""

    clips: ClipSettings = Field(description="Sizes, rate, cuts and filters.")
    motion: MotionCode = Field(MotionCode(), description="How flow is measured and drawn.")
    raft_weights: str = Field("C_T_V1", description="RAFT's weights: torchvision's name or a file.")
    raft_precision: Literal["fp32", "half"] = Field(
        "fp32",
        description="half: RAFT computes in fp16 on a GPU, in bf16 on a CPU; docs/data.md states the error.",
    )
    tile_above_px: int | None = Field(
        2**20,
        description="Buckets with more pixels a frame are encoded in tiles, whose seams are blended: less memory; "
        "None: never.",
        ge=1,
    )
    max_sequence_length: int | None = Field(
        None, description="Text tokens, padding included; default: the base's own.", ge=1
    )
    image_to_video: bool = Field(
        False,
        description="Keep what an image-to-video model reads of each first frame, for a base that does both "
        "(TI2V-5B, LTX-Video); an image-to-video base always does.",
    )
    clips_per_shard: int = Field(256, description="Clips of a shard.", ge=1)
    batch_clips: int = Field(
        4, description="Clips that are encoded together; on a CPU each is encoded by itself.", ge=1
    )

    def estimator(self, device: str = "cpu") -> OnFirstUse:
        """Return what measures the flow of clips that bring none.

        Args:
            device: Where RAFT computes.
        """
        half = self.raft_precision == "half"
        return OnFirstUse(self.motion.estimator, self.raft_weights, device, half=half)
