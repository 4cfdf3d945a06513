"""Stage 1: what must hold before anything is trained. `python -m studies.premise.gates --out RUN`."""

from __future__ import annotations

import json
import time

import torch

from studies.premise.run import Run, arguments, config_of
from studies.premise.testbed import generator_of
from videojam.files import write_text
from videojam.world import draw_clips, judge, to_levels
from videojam.world.latents import decode
from videojam.world.validation import validation_table


def gates(run: Run, num_clips: int = 256) -> dict[str, object]:
    """Measure the world, its judge and its latents; writes `gates.json`."""
    bed, world = run.bed, run.config.world
    generator = generator_of(run.device, "gates")
    clips = bed.clips(num_clips, generator)
    x, d = bed.latents(clips)
    verdict = judge(world, bed.distinct, to_levels(decode(world, x)), clips.caption)
    started = time.monotonic()
    for _ in range(20):
        draw_clips(world, bed.scenes, num_clips, generator)
    _ = float(x.sum())  # waits for the device
    figures: dict[str, object] = {
        "truth_coherent": float(verdict.coherent.float().mean()),
        "truth_as_asked": float(verdict.as_asked.float().mean()),
        "num_scenes": len(bed.scenes),
        "num_distinct": len(bed.distinct),
        "num_captions": bed.num_captions,
        "std_x": float(x.std()),
        "std_d": float(d.std()),
        "d_contrast": float((d - d.amin()).abs().amax()),
        "values_per_token": 2 * 3 * run.config.model.patch_px**2,
        "width": run.config.model.num_heads * run.config.model.head_dim,
        "clips_per_s": round(20 * num_clips / (time.monotonic() - started)),
        "validation": validation_table(world, generator_of("cpu", "validation"), min(num_clips, 64)),
    }
    write_text(run.folder / "gates.json", json.dumps(figures, indent=2) + "\n")
    return figures


def main() -> None:
    """Run the stage."""
    options = arguments(__doc__ or "").parse_args()
    torch.set_num_threads(1)
    run = Run(options.out, config_of(options.set))
    run.log(json.dumps(gates(run)))


if __name__ == "__main__":
    main()
