"""How lawful is the motion where the mover may be faint? Kept clips are judged again with a smaller `faintest`.

    python -m studies.premise.faint --out RUN --files joint.base.s2.n0.clips.safetensors --to faint.json

A mover fainter than half of the world's offset is absent to the study's judge. The floor is what a smaller threshold
lets pass in clips without a mover: still textures, drawn as the world's.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from studies.premise.run import Run, arguments, in_percent
from studies.premise.testbed import Bed, generator_of
from videojam.evaluation.intervals import share
from videojam.files import write_text
from videojam.world import judge, to_levels

FAINTEST = 0.5
"""In units; the world's movers are 2 from mid-grey, and the study's judge asks for 1."""
NUM_STILL = 256
Line = dict[str, object]


def line_of(bed: Bed, name: str, video: Tensor, caption: Tensor) -> Line:
    """Judge clips with the study's threshold and with `FAINTEST`, in % with intervals."""
    line: Line = {"clips": name, "num_clips": len(video)}
    for key, faintest in (("coherent", None), ("however_faint", FAINTEST)):
        verdict = judge(bed.config.world, bed.distinct, video, caption, faintest=faintest)
        line[key] = in_percent(share(int(verdict.coherent.sum()), len(video)))
    return line


def still_clips(bed: Bed) -> Tensor:
    """Draw clips of the world's texture in which nothing moves."""
    world = bed.config.world
    shape = (NUM_STILL, 3, 1, world.size_px, world.size_px)
    texture = world.texture * torch.randn(shape, generator=generator_of("cpu", "still"))
    return to_levels(texture.expand(-1, -1, world.num_frames, -1, -1))


def main() -> None:
    """Judge the clips of some files again, and still clips."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--files", nargs="+", required=True, help="Kept clips, in the run's folder.")
    parser.add_argument("--to", type=Path, required=True, help="JSON file of the results.")
    options = parser.parse_args()
    run = Run(options.out)
    bed, still = run.bed, still_clips(run.bed)
    lines = [line_of(bed, "still", still, torch.arange(NUM_STILL) % bed.num_captions)]
    for file in options.files:
        kept, arm = load_file(run.folder / file), file.split(".")[0]
        rules = [key.removesuffix("/video") for key in kept if key.endswith("/video")]
        lines += [line_of(bed, f"{arm} {r}", kept[f"{r}/video"], kept[f"{r}/caption"]) for r in rules]
    for line in lines:
        run.log(json.dumps(line))
    write_text(options.to, json.dumps(lines, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
