"""What a point of the world asks: what its autoencoder lets through, and where its base's loss lies.

    python -m studies.controlled.worlds BASE --out JSON [--clips 64] [--clutter 0]

coherent      share of true clips that are judged coherent after encoding and decoding, by kind: the ceiling of any arm
static share  of the base's appearance loss at each t, the part on latent places where no pixel moves

The paper says that the loss is spent on appearance; the static share is how much of it a motion prior can't touch.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool3d

from studies.tiny.measure import TIMES, seeds_of, world_of
from videojam.evaluation.intervals import ratio_of_sums, share
from videojam.files import write_text
from videojam.models.load import LoadedModel, load_model
from videojam.objective.draws import fixed_draws
from videojam.world import KINDS, sample_clip, score_clip


def moving_places(moving: Tensor, latent_shape: torch.Size) -> Tensor:
    """Latent places `[F, H, W]` in which any of the pixels `[T, H, W]` moves; the first frame has one of its own."""
    frames, height, width = latent_shape
    group = (moving.shape[0] - 1) // (frames - 1)
    first = moving[:1].expand(group, -1, -1)
    grouped = torch.cat([first, moving[1:]])[None].float()
    window = (group, moving.shape[1] // height, moving.shape[2] // width)
    return max_pool3d(grouped, window)[0] > 0


@torch.no_grad()
def rows(model: LoadedModel, num_clips: int, clutter: int) -> Iterator[dict[str, Any]]:
    """One row a clip: is it still coherent, and the sums of its loss over all and over static places, by t."""
    family = model.family
    transformer = next(iter(family.transformers(model.pipeline).values()))
    world = world_of(model).model_copy(update={"clutter": clutter})
    for number, (kind, seed) in enumerate(seeds_of(num_clips)):
        clip = sample_clip(seed, world, kind)
        x = family.encode_video(model.pipeline, clip.video[None].movedim(2, 1).float() / 127.5 - 1)
        decoded = ((family.decode_video(model.pipeline, x) + 1) * 127.5).round().byte()
        text = family.encode_prompts(model.pipeline, [clip.caption], model.defaults.max_sequence_length)
        static = ~moving_places(clip.moving, x.shape[2:])
        losses = {}
        for t in TIMES:
            draws = fixed_draws(number, 1, t, x.shape[1:])
            predicted = family.denoise(
                transformer, family.noised(x, draws.eps_x, draws.sigma), draws.sigma, text
            )
            loss = (family.target(x, draws.eps_x, draws.sigma) - predicted).square().mean(dim=1)[0]
            losses[t] = (float(loss[static].sum()), float(loss.sum()))
        score = score_clip(decoded[0].transpose(0, 1), clip.caption)
        yield {
            "kind": kind,
            "coherent": score.coherent,
            "static": float(static.float().mean()),
            "loss": losses,
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a base, as RUN/model or tiny:base")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=64, help="clips a kind")
    parser.add_argument("--clutter", type=int, default=0)
    args = parser.parse_args()
    found = list(rows(load_model(args.model), args.clips, args.clutter))
    coherent = {kind: [row["coherent"] for row in found if row["kind"] == kind] for kind in KINDS}
    parts = {t: np.array([row["loss"][t] for row in found]).T for t in TIMES}
    report = {
        "date": date.today().isoformat(),
        "clutter": args.clutter,
        "coherent": {kind: asdict(share(sum(values), len(values))) for kind, values in coherent.items()},
        "static_places": float(np.mean([row["static"] for row in found])),
        "static_share": {str(t): asdict(ratio_of_sums(*part)) for t, part in parts.items()},
    }
    write_text(args.out, json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
