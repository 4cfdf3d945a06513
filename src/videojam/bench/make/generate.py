"""Making the clips of an arm: what is there is kept, the rest is shared among ranks and made in batches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from videojam.bench.folder import Bench, Item
from videojam.bench.make.arms import ArmSpec
from videojam.bench.make.sources import Made, Sampler, Source, find_source, load_sampler
from videojam.bench.manifest import (
    Manifest,
    begin,
    check_rounding,
    check_same,
    read_manifest,
    write_manifest,
)
from videojam.bench.work import Work
from videojam.errors import VideoJamError
from videojam.models.load import LoadedModel
from videojam.motion.video import write_video
from videojam.out_of_memory import NotEnoughMemoryError

OnClip = Callable[[int, int], None]


def generate_arm(
    bench: Bench,
    spec: ArmSpec,
    work: Work | None = None,
    *,
    source: Source | None = None,
    again: Collection[str] = (),
    loaded: dict[str, LoadedModel] | None = None,
    on_clip: OnClip | None = None,
) -> Manifest:
    """Make the clips that an arm lacks, each written whole as soon as it is made.

    A clip is a function of its prompt, its noise seed and, by floating-point rounding, of the batch that it is
    sampled in. The batches are a function of the suite and the batch size: neither ranks nor a resumed run change
    them, and a batch of which one clip is missing is sampled whole. When nothing is missing, no model is loaded.

    Args:
        bench: Where to.
        spec: What from.
        work: How.
        source: What `find_source` said of the arm, where it was asked before.
        again: Clips to make although they are there, by key.
        loaded: Holds the model that was loaded last, for arms that share it.
        on_clip: Called with the number of clips that are there and the number of all, of this rank.

    Raises:
        VideoJamError: the arm exists with another model or other settings, the model can't be loaded, or none of its
            first batch can be sampled.
    """
    work, source = work or Work(), source or find_source(spec)
    manifest = begin(spec, source.kind, source.fingerprint, work.rounding() if source.folder else None)
    old = read_manifest(bench, spec.name)
    if old is not None:
        check_same(bench, old, manifest)
    skipped = bench.failures(spec.name).keys()

    def wanted(item: Item) -> bool:
        return item.key in again or not (item.key in skipped or bench.clip(spec.name, item).exists())

    batches = work.rank.share(batches_of(bench.items, work.batch_size))
    waiting = [batch for batch in batches if any(map(wanted, batch))]
    total = sum(map(len, batches))
    num_done = total - sum(wanted(item) for batch in waiting for item in batch)
    listen: OnClip = on_clip or (lambda done, total: None)
    listen(num_done, total)
    if not waiting:
        return old or manifest
    if old is not None:
        check_rounding(bench, old, manifest)
        manifest = old
    sampler = load_sampler(spec, source, work, loaded)
    manifest.fps, manifest.noise = sampler.fps, sampler.noise
    for number, batch in enumerate(waiting):
        missing = [item for item in batch if wanted(item)]
        num_after = num_done + len(missing)
        for item, clip in _make(bench, spec.name, sampler, batch, work, may_fail=num_done > 0):
            if item in missing:
                _remember(bench, manifest, sampler, clip, anew=number == 0)
                _write(bench, spec.name, item, clip, sampler.fps)
                num_done += 1
                listen(num_done, total)
        if num_done < num_after:  # some could not be made
            num_done = num_after
            listen(num_done, total)
    return manifest


def batches_of(items: Sequence[Item], size: int) -> list[list[Item]]:
    """Split clips into batches; none holds clips of two seeds, so that more seeds change no batch."""
    seeds: dict[int, list[Item]] = {}
    for item in items:
        seeds.setdefault(item.seed, []).append(item)
    return [own[i : i + size] for own in seeds.values() for i in range(0, len(own), size)]


def _make(
    bench: Bench, arm: str, sampler: Sampler, items: Sequence[Item], work: Work, may_fail: bool
) -> list[tuple[Item, Made]]:
    """Make a batch; where it fails, clip by clip, and note those that can't be made."""
    try:
        return list(zip(items, sampler.make(items), strict=True))
    except NotEnoughMemoryError:  # of the machine, and no fault of these clips
        raise
    except VideoJamError as error:
        if len(items) > 1:
            made: list[tuple[Item, Made]] = []
            for item in items:
                made += _make(bench, arm, sampler, [item], work, may_fail or bool(made))
            return made
        if not may_fail:  # nothing worked yet, so it isn't this one clip
            raise
        bench.note_failure(arm, items[0], f"could not be made: {error.found}", work.rank.number)
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
