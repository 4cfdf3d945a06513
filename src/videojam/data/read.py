"""Reading one clip into pixels and, where that needs no accelerator, its motion; run in worker processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
from jaxtyping import Float, UInt8
from torch import Tensor

from videojam.data.clips import ClipContent
from videojam.data.place import Place, WorldPlace, require_there
from videojam.motion.code import MotionCode
from videojam.motion.estimators import DisFlow
from videojam.motion.upright import Fit
from videojam.motion.video import read_video

GONE_FIX = "Put it back, delete the shard that was made without it, and prepare again."


@dataclass(frozen=True)
class ReadTask:
    """A clip to read.

    Attributes:
        clip_id: Its name.
        place: Its file, the part of a tar, or its seed in the world.
        start_s: Where it starts, in s.
        num_frames: Frames.
        height: In px.
        width: In px.
        fps: Frames a second.
        fit: How a picture of another shape gets the size.
        with_flow: Whether DIS measures the flow here; a clip of the world brings exact flow.
    """

    clip_id: str
    place: Place
    start_s: float
    num_frames: int
    height: int
    width: int
    fps: float
    fit: Fit
    with_flow: bool

    def __str__(self) -> str:
        """Name the clip, for errors."""
        return self.clip_id


def read_clip(task: ReadTask) -> ClipContent:
    """Read a clip's pixels, and its flow: exact for a clip of the world, or by DIS where the task asks for it.

    Raises:
        VideoJamError: it can't be read, or is shorter than asked.
    """
    if isinstance(task.place, WorldPlace):
        drawn = task.place.draw()
        return ClipContent(drawn.video, drawn.flow)
    require_there(task.place, task.clip_id, GONE_FIX)
    clip = read_video(
        task.place, task.num_frames, task.fps, task.height, task.width, start_s=task.start_s, fit=task.fit
    )
    flow = None
    if task.with_flow:
        before = cv2.getNumThreads()
        # DIS divides a picture among its threads, and its result depends on their number
        cv2.setNumThreads(1)
        try:
            flow = DisFlow()(clip.frames)
        finally:
            cv2.setNumThreads(before)
    return ClipContent(clip.frames, flow)


@dataclass(frozen=True)
class MeasureTask:
    """A clip to read and, where DIS measures its flow, to measure.

    Attributes:
        clip: To read.
        code: How its flow is drawn.
    """

    clip: ReadTask
    code: MotionCode

    def __str__(self) -> str:
        """Name the clip, for errors."""
        return self.clip.clip_id


class MeasuredClip(NamedTuple):
    """A clip with its motion.

    Attributes:
        video: Pixels.
        motion: Its flow drawn as RGB (Eq. 5).
        mean_speed: Share of the diagonal per frame.
    """

    video: UInt8[Tensor, "t 3 h w"]
    motion: UInt8[Tensor, "t 3 h w"]
    mean_speed: float


def measure_clip(task: MeasureTask) -> ClipContent | MeasuredClip:
    """Read a clip and, where its flow needs no accelerator, draw that.

    Raises:
        VideoJamError: it can't be read, or is shorter than asked.
    """
    content = read_clip(task.clip)
    return content if content.flow is None else measured(content.video, content.flow, task.code)


def measured(
    video: UInt8[Tensor, "t 3 h w"], flow: Float[Tensor, "num_flows 2 h w"], code: MotionCode
) -> MeasuredClip:
    """Draw a clip's flow, and take its mean speed.

    Args:
        video: Pixels.
        flow: (u, v) in px/frame.
        code: How it is drawn.
    """
    return MeasuredClip(video, code.draw(flow), mean_speed(flow))


def mean_speed(flow: Float[Tensor, "num_flows 2 h w"]) -> float:
    """Return the mean speed of a flow, as a share of the diagonal per frame."""
    diagonal = (flow.shape[-1] ** 2 + flow.shape[-2] ** 2) ** 0.5
    return float(flow.float().pow(2).sum(1).sqrt().mean()) / diagonal
