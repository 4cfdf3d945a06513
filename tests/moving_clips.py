"""Clips in which something moves, of any size: world clips enlarged and cropped."""

from __future__ import annotations

from videojam.world import WorldClip, WorldConfig, sample_clip


def moving_clip(seed: int, num_frames: int = 25, height: int = 64, width: int = 64) -> WorldClip:
    """The world clip of a seed, cropped to a size; what leaves the crop leaves the clip."""
    pixel_px = -(-max(height, width) // 8)
    clip = sample_clip(seed, WorldConfig(num_frames=num_frames, pixel_px=pixel_px))
    video, flow = (part[..., :height, :width] for part in (clip.video, clip.flow))
    return WorldClip(video, flow, clip.caption, clip.kind)
