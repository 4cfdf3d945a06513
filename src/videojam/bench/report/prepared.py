"""The page of a prepared folder: frames, flow and decoded latents of its clips side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from videojam.bench.report.legend import wheel
from videojam.bench.report.shell import whole_page
from videojam.bench.report.video import frames_tag, small_size
from videojam.data.config import prepared_facts
from videojam.data.look import CachedClip, LookRequest, cached_clips, similarity_db
from videojam.data.prepared import left_out_of, shard_files
from videojam.data.shards import read_facts_of
from videojam.files import write_text
from videojam.motion.code import MotionCode
from videojam.motion.upright import cover

PAGE_NAME = "look.html"
PAGE_CRF = 20
MAX_LISTED = 200


def write_look(
    request: LookRequest,
    page: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the page of a prepared folder.

    Args:
        request: Which clips and with what.
        page: File to write; `look.html` in the folder if None.
        progress: Called with (clips done, clips in all).

    Returns:
        The page.

    Raises:
        VideoJamError: not a finished prepared folder, another autoencoder, no room or no permission.
    """
    shown: list[str] = []
    num_wanted = min(request.num_clips, _num_clips(request.folder))
    for clip in cached_clips(request):
        shown.append(_card(clip))
        progress(len(shown), num_wanted)
    return write_text(page or request.folder / PAGE_NAME, _render(request.folder, shown))


FOUR_PANELS = "\n@media (min-width: 721px) { .panels { grid-template-columns: repeat(4, 1fr); } }"


def _num_clips(folder: Path) -> int:
    return sum(read_facts_of(path)["num_clips"] for path in shard_files(folder))


def _render(folder: Path, cards: Sequence[str]) -> str:
    facts = prepared_facts(folder)
    num_shards, num_clips = len(shard_files(folder)), _num_clips(folder)
    left_out = left_out_of(folder)
    code = MotionCode(**facts["motion"])
    title = f"Prepared clips: {escape(folder.resolve().name)}"
    content = dict(
        title=title,
        lede=f"Clips: {num_clips} in {num_shards} shard{'s' * (num_shards != 1)}, {len(left_out)} left out; "
        f"{len(cards)} shown.",
        wheel=wheel(code),
        motion=escape(
            f"Motion: the hue is its direction, the {code.speed_is} its speed; full at "
            f"{code.scale:g} of the diagonal per frame. Estimator: {code.estimator}."
        ),
        cards="\n".join(cards),
        unused=_unused(left_out),
        facts="\n".join(_fact(name, value) for name, value in facts.items()),
    )
    return whole_page("prepared.html", title, content, FOUR_PANELS)


def _card(clip: CachedClip) -> str:
    panels = (
        ("frames", clip.frames, None, 0),
        ("decoded x", clip.appearance, clip.frames, 0),
        ("flow", clip.flow, None, 1),
        ("decoded d", clip.motion, clip.flow, 1),
    )
    note = f'<p class="note">{escape(clip.note)}</p>' if clip.note else ""
    facts = f"{clip.name}, {clip.shard}, mean speed {clip.motion_mean:.4f} of the diagonal per frame"
    return (
        f'<article class="card"><h3>{escape(clip.caption)}<span>{escape(facts)}</span></h3>{note}'
        f'<div class="panels">{"".join(_panel(clip, *panel) for panel in panels)}</div></article>'
    )


def _panel(clip: CachedClip, title: str, video: Tensor | None, wanted: Tensor | None, colour: int) -> str:
    if video is None:
        return ""
    tag = frames_tag(_small(video), clip.fps, f"{title} of {clip.name}", PAGE_CRF)
    psnr = "" if wanted is None else f"PSNR {similarity_db(video, wanted):.1f} dB"
    return (
        f'<figure class="arm-{colour}"><div class="stage">{tag}</div>'
        f"<figcaption><strong>{escape(title)}</strong>{psnr}</figcaption></figure>"
    )


def _small(video: Tensor) -> Tensor:
    """Shrink a video to the page's size, its sides even."""
    height, width = video.shape[-2:]
    size = small_size(height, width)
    return video if (height, width) == size else torch.stack([cover(frame, size) for frame in video])


def _unused(left_out: dict[str, str]) -> str:
    if not left_out:
        return '<p class="note">None.</p>'
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(reason)}</td></tr>"
        for name, reason in list(left_out.items())[:MAX_LISTED]
    )
    more = f'<p class="note">{len(left_out) - MAX_LISTED} more.</p>' if len(left_out) > MAX_LISTED else ""
    return f'<div class="scroll"><table class="facts"><tbody>{rows}</tbody></table></div>{more}'


def _fact(name: str, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"<tr><th>{escape(name.replace('_', ' '))}</th><td>{escape(text)}</td></tr>"
