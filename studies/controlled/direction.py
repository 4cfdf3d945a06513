"""Does guidance push towards the data? On clips the model has not seen, at each t.

    python -m studies.controlled.direction MODEL --out JSON [--clips 64] [--clutter 0]

With u the prediction from text and true motion, r = target − u what it lacks of the appearance, and g = u − (u without
its text, or without its motion) the direction in which guidance pushes: w* = Σ⟨r, g⟩ / Σ⟨g, g⟩ over clips is the scale
that would lower the error most. An ideal model has w* = 0 for both; below −0.5 the prediction *without* the condition
is the better one, and guidance goes away from it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
from torch import Tensor

from studies.tiny.measure import TEST_SEED, TIMES, world_of
from videojam.data.config import DataConfig, WorldSource
from videojam.data.encode import EncodedClip, EncodedData, prepare, read_batch
from videojam.evaluation.intervals import ratio_of_sums
from videojam.evaluation.probes.guidance import condition_products
from videojam.files import write_text
from videojam.models.load import LoadedModel, load_model
from videojam.objective.denoiser import Denoiser
from videojam.objective.draws import fixed_draws

WITHOUT = ("text", "motion")


def products(
    model: LoadedModel, clip: EncodedClip, number: int, null_text: dict[str, Tensor], t: float
) -> dict[str, tuple[float, float]]:
    """Return (⟨r, g⟩, ⟨g, g⟩) a value of the appearance latent, for text and for motion."""
    transformer = next(iter(model.family.transformers(model.pipeline).values()))
    batch = read_batch([clip], "cpu")
    draws = fixed_draws(number, 1, t, batch.x.shape[1:])
    found = condition_products(Denoiser(transformer, model.family, True, null_text), batch, draws)
    return {name: (part[0], whole[0]) for name, (part, whole) in found.items()}


def at_time(model: LoadedModel, data: EncodedData, t: float) -> dict[str, dict[str, float]]:
    """w* of text and of motion at one time."""
    found = [products(model, clip, i, data.null_text, t) for i, clip in enumerate(data.clips)]
    pairs = {name: np.array([row[name] for row in found]).T for name in WITHOUT}
    return {name: asdict(ratio_of_sums(*pair)) for name, pair in pairs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="RUN/model of a joint fine-tune")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("runs/study/cache"))
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--clutter", type=int, default=0)
    args = parser.parse_args()
    model = load_model(args.model)
    if model.record is None:
        parser.error(f"{args.model} is no joint model")
    world = world_of(model).model_copy(update={"clutter": args.clutter})
    source = WorldSource(num_clips=args.clips, seed=TEST_SEED + 1_000_000, world=world)
    data = prepare(model, DataConfig(source=source, cache=args.cache), model.record.motion)
    scales = {str(t): at_time(model, data, t) for t in TIMES}
    for t, found in scales.items():
        print(f"t = {t}: " + ", ".join(f"w* of {name} {found[name]['mean']:+.2f}" for name in WITHOUT))
    report = {
        "date": date.today().isoformat(),
        "clips": args.clips,
        "clutter": args.clutter,
        "scales": scales,
    }
    write_text(args.out, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
