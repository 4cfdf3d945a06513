"""Reading one clip into pixels and, where that needs no accelerator, its flow; run in worker processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2

from videojam.data.clips import ClipContent
from videojam.motion.decode import Part
from videojam.motion.estimators import DisFlow
from videojam.motion.upright import Fit
from videojam.motion.video import read_video


@dataclass(frozen=True)
class ReadTask:
    """A clip to read.

    Attributes:
        clip_id: Its name.
        place: Its file, or the part of a tar.
        start_s: Where it starts, in s.
        num_frames: Frames.
        height: In px.
        width: In px.
        fps: Frames a second.
        fit: How a picture of another shape gets the size.
        with_flow: Whether DIS measures the flow here.
    """

    clip_id: str
    place: Path | Part
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
    """Read a clip's pixels, and its flow by DIS where the task asks for it.

    Raises:
        VideoJamError: it can't be read, or is shorter than asked.
    """
    clip = read_video(
        task.place, task.num_frames, task.fps, task.height, task.width, start_s=task.start_s, fit=task.fit
    )
    flow = None
    if task.with_flow:
        before = cv2.getNumThreads()
        cv2.setNumThreads(
            1
        )  # DIS divides a picture among its threads, and its result depends on their number
        try:
            flow = DisFlow()(clip.frames)
        finally:
            cv2.setNumThreads(before)
    return ClipContent(clip.frames, flow)
