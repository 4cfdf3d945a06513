"""The clips of the page: the first prompts of each category, small enough to lie inside one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from torch import Tensor

from videojam.bench.folder import Bench, Item
from videojam.bench.report.legend import motion_code
from videojam.bench.report.results import Results
from videojam.bench.report.tables import colour_of
from videojam.bench.report.video import encoded, frames_tag, small_size, video_tag
from videojam.errors import VideoJamError
from videojam.evaluation.judge import Measure
from videojam.evaluation.world_judge import WorldJudge, what_moves
from videojam.motion import draw
from videojam.motion.code import MotionCode
from videojam.motion.video import probe_video, read_video

MAX_BYTES = 300_000
SMALL_CRF = 28
PICTURES: dict[str, Callable[[Tensor, str], Tensor]] = {WorldJudge.name: what_moves}
"""By judge: a clip as the judge explains it, shown beneath the clip."""
NUM_REASONS = 2
"""Reasons of a verdict that are shown at once."""


def choose(bench: Bench, num_prompts: int) -> list[Item]:
    """Return the first prompts of each category in turn, at their first seed: a choice that nobody made."""
    items = [item for item in bench.items if item.seed == 0]
    waiting = {
        name: [i for i in items if i.prompt.category == name]
        for name in {i.prompt.category: 0 for i in items}
    }
    chosen: list[Item] = []
    while len(chosen) < num_prompts and any(waiting.values()):
        for queue in waiting.values():
            if queue and len(chosen) < num_prompts:
                chosen.append(queue.pop(0))
    return chosen


def clip_cards(bench: Bench, results: Results, measures: list[Measure], num_prompts: int) -> str:
    """Return a card for each chosen prompt, with the clip and the predicted motion of each arm."""
    return "\n".join(_card(bench, results, measures, item) for item in choose(bench, num_prompts))


def _card(bench: Bench, results: Results, measures: list[Measure], item: Item) -> str:
    category = item.prompt.category or ""
    panels = "\n".join(_panel(bench, results, measures, arm, item) for arm in results.arms)
    seed = f"seed {item.noise_seed}"
    facts = ", ".join(filter(None, (category, item.prompt.id, seed)))
    if str(item.noise_seed) in item.prompt.id:  # the id says the same
        facts = ", ".join(filter(None, (category, seed)))
    return (
        f'<article class="card" data-kind="{escape(category)}"><h3>{escape(item.prompt.text)}'
        f"<span>{escape(facts)}</span></h3>"
        f'<div class="panels">\n{panels}\n</div></article>'
    )


def _panel(bench: Bench, results: Results, measures: list[Measure], arm: str, item: Item) -> str:
    colour, path, motion = colour_of(results, arm), bench.clip(arm, item), bench.motion(arm, item)
    code = motion_code(results.manifests[arm].facts)
    blend = "screen" if code is None else code.blend
    video = _video(path, f"{arm}: {item.prompt.text}")
    explained = _explained(results, path, item)
    figure = (
        f'<figure class="{colour}" data-arm="{escape(arm)}" data-blend="{blend}"><div class="stage">{video}</div>'
        f"{explained}<figcaption><strong>{escape(arm)}</strong>"
        f"{_verdict(results, measures, arm, item.key)}</figcaption></figure>"
    )
    if motion.exists():
        label = f"{arm}’s motion: {item.prompt.text}"
        video = _video(motion, label) + _lines(path, motion, code, label)
        figure += (
            f'\n<figure class="motion {colour}" data-arm="{escape(arm)}"><div class="stage">{video}</div>'
            f"<figcaption><strong>{escape(arm)}’s motion</strong>predicted with the clip</figcaption></figure>"
        )
    return figure


def _lines(path: Path, motion: Path, code: MotionCode | None, label: str) -> str:
    """Return the predicted motion as arrows and as trails over the clip, which the page shows when asked."""
    if code is None:
        return ""
    try:
        clip, drawn = read_video(path), read_video(motion)
        pictures = draw.lines(clip.frames, code.read(drawn.frames), code)
    except VideoJamError:  # what is wrong with the files stands among the problems
        return ""
    return "".join(
        frames_tag(frames, clip.fps, f"{name}, {label}", SMALL_CRF, kind=name)
        for name, frames in pictures.items()
    )


def _explained(results: Results, path: Path, item: Item) -> str:
    """Return the clip as its judge explains it, where a judge has a picture of it."""
    judges = {measure.judge for measure in results.measures.values()}
    draw = next((PICTURES[name] for name in PICTURES if name in judges), None)
    if draw is None or not path.exists():
        return ""
    try:
        clip = read_video(path)
        data = encoded(draw(clip.frames, item.prompt.text), clip.fps)
    except VideoJamError:  # what is wrong with the clip stands among the problems
        return ""
    video = video_tag(probe_video(path), data, f"what moves: {item.prompt.text}")
    return f'<div class="stage explained">{video}</div>'


def _verdict(results: Results, measures: list[Measure], arm: str, clip: str) -> str:
    """Return what the judges said of one clip: its shares as yes or no with their reasons, then the numbers."""
    shares, numbers = [], []
    for measure in measures[:4]:
        values = results.values[arm].get(measure.key, {})
        if clip not in values:
            continue
        if measure.kind == "share":
            yes = values[clip] == 1
            reasons = results.reasons.get(arm, {}).get(measure.key, {}).get(clip, [])
            shares.append(
                f'<li class="{"yes" if yes else "no"}">{"✓" if yes else "✗"} {escape(measure.title)}</li>'
                + _reasons(reasons)
            )
        else:
            unit = f" {measure.shown_unit}" if measure.shown_unit else ""
            value = f"{values[clip]:g}" if measure.kind == "count" else measure.show(values[clip])
            numbers.append(f"<li>{escape(measure.title)}: {value}{escape(unit)}</li>")
    return f"<ul>{''.join((*shares, *numbers))}</ul>" if shares or numbers else ""


def _reasons(reasons: Sequence[str]) -> str:
    first, rest = (
        "".join(f"<li>{escape(reason)}</li>" for reason in part)
        for part in (reasons[:NUM_REASONS], reasons[NUM_REASONS:])
    )
    num = len(reasons) - NUM_REASONS
    more = f'<li class="more"><details><summary>{num} more</summary><ul>{rest}</ul></details></li>'
    return (f'<li class="why"><ul>{first}{more if rest else ""}</ul></li>') if reasons else ""


def _video(path: Path, label: str) -> str:
    try:
        info, data = probe_video(path), _small(path)
    except VideoJamError:
        return '<p class="gone">no clip</p>'
    if not info.fps or not info.num_frames:
        return '<p class="gone">no frame rate</p>'
    return video_tag(info, data, label)


def _small(path: Path) -> bytes:
    """Return a clip's file, encoded again at a smaller size where it is large."""
    data = path.read_bytes()
    if len(data) <= MAX_BYTES:
        return data
    info = probe_video(path)
    height, width = small_size(info.height, info.width)
    clip = read_video(path, height=height, width=width)
    return encoded(clip.frames, clip.fps, SMALL_CRF)
