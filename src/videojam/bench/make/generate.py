"""Making the clips of an arm: what is there is kept, the rest is shared among ranks and made in batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from videojam.bench.folder import Bench, Item
from videojam.bench.make.arms import ArmSpec
from videojam.bench.make.sampler import Made, Sampler
from videojam.bench.make.sources import find_source, load_sampler
from videojam.bench.manifest import Manifest, begin, check_same, read_manifest, write_manifest
from videojam.errors import VideoJamError
from videojam.models.load import LoadedModel
from videojam.motion.video import write_video
from videojam.store import append_row


@dataclass(frozen=True)
class Rank:
    """This process among those that share the work.

    Attributes:
        number: 0..total − 1.
        total: Processes.
    """

    number: int = 0
    total: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.total:
            raise VideoJamError(
                expected="a rank from 0 to one less than the number of ranks",
                found=f"rank {self.number} of {self.total}",
                where="--rank, --num-ranks",
                fix="Number the processes from 0.",
            )

    @classmethod
    def here(cls, number: int | None = None, total: int | None = None) -> Rank:
        """Return the rank given, else the one that `accelerate launch` or `torchrun` set, else the only one."""
        return cls(
            int(os.environ.get("RANK", 0)) if number is None else number,
            int(os.environ.get("WORLD_SIZE", 1)) if total is None else total,
        )

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return every total-th item: each rank gets some of each category."""
        return list(items[self.number :: self.total])


def generate_arm(
    bench: Bench,
    spec: ArmSpec,
    *,
    rank: Rank | None = None,
    batch_size: int = 1,
    device: str = "cpu",
    dtype: Any = None,
    offload: bool = False,
    loaded: dict[str, LoadedModel] | None = None,
    on_clip: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Make the clips that an arm lacks, each written whole as soon as it is made.

    A clip depends on its prompt and noise seed alone, so that neither batches nor ranks nor a resumed run change it.
    When nothing is missing, no model is loaded.

    Args:
        bench: Where to.
        spec: What from.
        rank: Which part of the clips.
        batch_size: Clips sampled together.
        device: Where to run.
        dtype: Type of the weights.
        offload: Keep components on the CPU while they don't run.
        loaded: Holds the model that was loaded last, for arms that share it.
        on_clip: Called with the number of clips that are there and the number of all, of this rank.

    Raises:
        VideoJamError: the arm exists with another model or other settings, the model can't be loaded, or none of its
            first batch can be sampled.
    """
    rank = rank or Rank()
    source = find_source(spec)
    manifest = begin(spec, source.kind, source.fingerprint)
    old = read_manifest(bench, spec.name)
    if old is not None:
        check_same(bench, old, manifest)
        manifest = old
    mine = rank.share(bench.items)
    failed = bench.failures(spec.name)
    missing = [item for item in mine if not bench.clip(spec.name, item).exists() and item.key not in failed]
    num_done = len(mine) - len(missing)
    listen = on_clip or (lambda done, total: None)
    listen(num_done, len(mine))
    if not missing:
        return manifest
    sampler = load_sampler(spec, source, device=device, dtype=dtype, offload=offload, loaded=loaded)
    manifest.fps, manifest.noise = sampler.fps, sampler.noise
    for start in range(0, len(missing), batch_size):
        batch = missing[start : start + batch_size]
        made = _make(bench, spec.name, sampler, batch, rank, may_fail=num_done > 0)
        for item, clip in made:
            _remember(bench, manifest, sampler, clip, anew=start == 0)
            _write(bench, spec.name, item, clip, sampler.fps)
        num_done += len(batch)
        listen(num_done, len(mine))
    return manifest


def _make(
    bench: Bench, arm: str, sampler: Sampler, items: Sequence[Item], rank: Rank, may_fail: bool
) -> list[tuple[Item, Made]]:
    """Make a batch; where it fails, clip by clip, and note those that can't be made."""
    try:
        return list(zip(items, sampler.make(items), strict=True))
    except VideoJamError as error:
        if len(items) > 1:
            made: list[tuple[Item, Made]] = []
            for item in items:
                made += _make(bench, arm, sampler, [item], rank, may_fail or bool(made))
            return made
        if not may_fail:  # nothing worked yet, so it isn't this one clip
            raise
        reason = {"clip": items[0].key, "reason": f"could not be made: {error.found}"}
        append_row(bench.arm_folder(arm) / f"failed.{rank.number}.jsonl", reason)
        return []


def _remember(bench: Bench, manifest: Manifest, sampler: Sampler, clip: Made, anew: bool) -> None:
    """Complete the manifest with what a clip shows, before that clip is written; in each run once, for its versions."""
    size = (clip.video.shape[0], clip.video.shape[2], clip.video.shape[3])
    facts = {**manifest.facts, **sampler.facts}
    known = (manifest.num_frames, manifest.height, manifest.width) == size and manifest.facts == facts
    if known and not anew:
        return
    manifest.num_frames, manifest.height, manifest.width = size
    manifest.facts = facts
    write_manifest(bench, manifest)


def _write(bench: Bench, arm: str, item: Item, clip: Made, fps: float) -> None:
    """Write the motion, then the clip: a clip that is there is complete."""
    if clip.motion is not None:
        write_video(bench.motion(arm, item), clip.motion, fps)
    write_video(bench.clip(arm, item), clip.video, fps)
