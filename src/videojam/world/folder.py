"""World clips as files: rendering a folder, and scoring one from only its mp4 files and captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from videojam.errors import VideoJamError
from videojam.files import refused, write_tensors, write_text
from videojam.locks import locked
from videojam.misfits import reason
from videojam.motion.clips import find_clips, read_caption
from videojam.motion.video import read_video, write_video
from videojam.reading import same_form
from videojam.world.clip import WORLD_VERSION, WorldClip, sample_clip
from videojam.world.config import WorldConfig
from videojam.world.kinds import lawful_scenes
from videojam.world.score import score_clip

FLOW_SUFFIX = ".flow.safetensors"
RATES = ("coherent", "as_asked", "explained")
CONFIG_NAME = "world.json"
FIX = "Check free space and permissions, or choose another folder."
"""The world of a rendered folder, whose lawful clips its clips are compared with."""


def render_folder(
    out: str | Path,
    num_clips: int,
    seed: int = 0,
    config: WorldConfig | None = None,
    on_clip: Callable[[int], None] | None = None,
) -> Path:
    """Render clips of seeds `seed`, `seed`+1, … as mp4, caption (.txt) and exact flow.

    Clip i becomes `00000i.mp4`, `.txt` and `.flow.safetensors` (key `flow`, float16
    [T-1, 2, H, W], px/frame); `world.json` says of which world they are.
    Each file is written under a temporary name first, so a file that is there is whole.

    Args:
        out: folder, made when missing; clips of the same names are replaced, if they are of the same world.
        num_clips: how many.
        seed: first seed.
        config: the world; the default one when None.
        on_clip: called with the index of each clip that is done.

    Returns:
        The folder.

    Raises:
        VideoJamError: num_clips or seed is out of range, the world has no lawful clip of a kind, the folder holds
            clips of another world or others' files of these names, another process renders into it, or it can't be
            written.
    """
    config, out = config or WorldConfig(), Path(out)
    if num_clips < 1 or seed < 0:
        raise VideoJamError(
            expected="at least one clip and a seed of 0 or more",
            found=f"{num_clips} clips, seed {seed}",
            where="world render",
            fix="Pass --clips 1 or more and --seed 0 or more.",
        )
    lawful_scenes(config)  # before a folder is made
    try:
        with locked(out, "render"):
            _require_own(out, num_clips, config)
            write_text(out / CONFIG_NAME, config.model_dump_json(indent=1) + "\n")
            for i in range(num_clips):
                _write_clip(out / f"{i:05d}", sample_clip(seed + i, config), config.fps)
                if on_clip is not None:
                    on_clip(i)
    except OSError as error:
        raise refused(out, error, FIX) from error
    return out


def _require_own(out: Path, num_clips: int, config: WorldConfig) -> None:
    """Refuse a folder of which a file would be lost, or whose clips would be of two worlds."""
    if not (out / CONFIG_NAME).exists():
        paths = (
            out / f"{i:05d}{suffix}" for i in range(num_clips) for suffix in (".mp4", ".txt", FLOW_SUFFIX)
        )
        taken = next((path.name for path in paths if path.exists()), None)
        if taken:
            raise VideoJamError(
                expected=f"a folder without files of these names, or one with {CONFIG_NAME} that was rendered before",
                found=f"{taken}, which would be lost",
                where=str(out),
                fix="Choose another folder.",
            )
        return
    own, asked = _config_of(out).model_dump(), config.model_dump()
    differs = [name for name in asked if own[name] != asked[name]]
    if differs and next(out.glob("*.mp4"), None) is not None:
        raise VideoJamError(
            expected="the world of the clips that are there: "
            + ", ".join(f"{name} = {own[name]}" for name in differs),
            found=", ".join(f"{name} = {asked[name]}" for name in differs),
            where=str(out / CONFIG_NAME),
            fix="Choose another folder, or remove this one to render its clips anew.",
        )


def _write_clip(stem: Path, clip: WorldClip, fps: float) -> None:
    """Write one clip's three files; the mp4 comes last, so that a clip with an mp4 is complete."""
    write_tensors(
        stem.with_name(stem.name + FLOW_SUFFIX), {"flow": clip.flow.to(torch.float16).contiguous()}, fix=FIX
    )
    write_text(stem.with_suffix(".txt"), clip.caption + "\n", FIX)
    write_video(stem.with_suffix(".mp4"), clip.video, fps)


def score_folder(folder: str | Path, on_clip: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Score each clip of a folder against the caption beside it and the world of its `world.json`.

    A clip that can't be scored (no caption, an empty one, one of another world, an unreadable clip, a
    caption without its clip) is listed under `problems` with its reason and is counted; it is in no rate.

    Args:
        folder: holds pairs of NAME.mp4 (or another video suffix) and NAME.txt; without `world.json` the world is
            the default one.
        on_clip: called with the number of clips done and the number of all.

    Returns:
        A JSON-able dict: `world_version`, `num_clips` (all items), `num_scored`, `num_problems`, `coherent`,
        `as_asked` and `explained` (means over scored clips, None when there are none), `kinds` (the same for each
        kind), `clips` (one dict each, with reasons) and `problems`.

    Raises:
        VideoJamError: the folder is missing or holds no clip and no caption, or its `world.json` is none.
    """
    folder = Path(folder)
    items = _items(folder)
    config = _config_of(folder)
    clips: list[dict[str, Any]] = []
    problems: list[dict[str, str]] = []
    for i, (name, path) in enumerate(items):
        try:
            clips.append({"name": name, **_score_item(path, config)})
        except VideoJamError as error:
            problems.append({"name": name, "reason": str(error)})
        if on_clip is not None:
            on_clip(i + 1, len(items))
    kinds = {
        kind: rates for kind in config.kinds if (rates := _rates([c for c in clips if c["kind"] == kind]))
    }
    return {
        "world_version": WORLD_VERSION,
        "num_clips": len(items),
        **(_rates(clips) or {"num_scored": 0, **dict.fromkeys(RATES)}),
        "num_problems": len(problems),
        "kinds": kinds,
        "clips": clips,
        "problems": problems,
    }


def _config_of(folder: Path) -> WorldConfig:
    path = folder / CONFIG_NAME
    if not path.exists():
        return WorldConfig()
    try:
        return WorldConfig.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VideoJamError(
            expected="the parameters of a world, as `videojam world render` writes them",
            found=reason(error),
            where=str(path),
            fix="Put the file back as it was written, or remove it to score against the default world.",
        ) from None


def _items(folder: Path) -> list[tuple[str, Path]]:
    """Return name and file of each clip, and of each caption whose clip is not there."""
    clips = find_clips(folder, deep=False, may_be_empty=True)
    stems = Counter(clip.stem for clip in clips)
    items = [(clip.stem if stems[clip.stem] == 1 else clip.name, clip) for clip in clips]
    known = {same_form(stem) for stem in stems}
    alone = (p for p in folder.iterdir() if p.suffix.lower() == ".txt" and not p.name.startswith("."))
    items += [(p.stem, p.with_suffix(".mp4")) for p in alone if same_form(p.stem) not in known]
    if not items:
        raise VideoJamError(
            expected="clips with captions: NAME.mp4 with NAME.txt",
            found="no clip and no txt file",
            where=str(folder),
            fix="Give the folder that holds the clips themselves, or write one with `videojam world render`.",
        )
    return sorted(items)


def _score_item(path: Path, config: WorldConfig) -> dict[str, Any]:
    caption = read_caption(path)
    score = score_clip(read_video(path).frames, caption, config)
    return {**asdict(score), "reasons": list(score.reasons), "caption": caption}


def _rates(clips: list[dict[str, Any]]) -> dict[str, Any]:
    if not clips:
        return {}
    means = {name: sum(clip[name] for clip in clips) / len(clips) for name in RATES}
    return {"num_scored": len(clips), **means}
