"""The noising probe (Fig. 8): true clips are noised to t and finished by each model; whose motion do they have then?

    python -m studies.premise.noising --out RUN --models base control.base.s1 joint.base.s1 --to results.json

The same clips and noise for every model. At t = 0 nothing of the clip is left, so that is the floor: how often a clip
of that caption has the motion by chance.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from studies.premise.model import is_joint
from studies.premise.rules import Rule, Velocity
from studies.premise.run import Run, arguments, in_percent
from studies.premise.sample import NUM_STEPS, integrate, seen_as
from studies.premise.testbed import Bed, generator_of
from videojam.evaluation.intervals import share
from videojam.files import write_text
from videojam.world import judge

TIMES = (0.0, 0.2, 0.4, 0.6, 0.8)
"""As in the paper's figure, with its ends; each is a step of the sampler."""
Line = dict[str, Any]
RULES = {"plain": Rule(), "w2=2": Rule(w_motion=2.0)}


@torch.no_grad()
def finished(bed: Bed, model: torch.nn.Module, rule: Rule, t: float, num: int) -> dict[str, Tensor]:
    """Noise true clips to t, finish them, and say of each whether it is coherent and has the true motion.

    Args:
        bed: World on the model's device, with the model's gain.
        model: Base or joint; the motion of a joint one is noised beside the picture.
        rule: How it is guided.
        t: The paper's time, 0 noise, 1 data.
        num: Clips.

    Returns:
        `coherent`, and `same_path`: in every frame the mover is where it is in the true clip.
    """
    generator = generator_of("cpu", "noising probe")
    clips = bed.clips(num, generator_of(bed.device, "noising probe clips"))
    x, d = bed.latents(clips)
    eps_x, eps_d = (torch.randn(x.shape, generator=generator).to(bed.device) for _ in range(2))
    clean, eps = (torch.cat(pair, dim=1) for pair in ((x, d), (eps_x, eps_d)))
    latents = t * clean + (1 - t) * eps
    latents = latents if is_joint(model) else latents[:, :3]
    velocity = Velocity(model, rule, bed.texts[clips.caption], bed.texts[-1], None)
    came = seen_as(bed, integrate(velocity, latents, round(t * NUM_STEPS)), clips.caption)
    verdict = judge(bed.config.world, bed.distinct, came.video, came.caption)
    paths, true_paths = bed.distinct.covered(), bed.scenes.covered()
    same = (paths[verdict.scene] == true_paths[clips.scene]).all(2).all(1)
    return {"coherent": verdict.coherent.cpu(), "same_path": same.cpu()}


def lines_of(run: Run, name: str, num: int, found: list[Line]) -> Iterator[Line]:
    """Yield a line for each rule and time of a model that is not found yet, with shares and their intervals."""
    model = run.model(name)
    bed = run.bed.with_gain(run.arm(name).gain)
    for rule_name, rule in RULES.items():
        if rule.w_motion and not is_joint(model):
            continue
        for t in TIMES:
            line: Line = {"model": name, "rule": rule_name, "t": t, "num_clips": num}
            if any(line.items() <= known.items() for known in found):
                continue
            for key, flag in finished(bed, model, rule, t, num).items():
                line[key] = in_percent(share(int(flag.sum()), num))
            run.log(json.dumps(line))
            yield line


def main() -> None:
    """Run the probe; what is in the file is taken over, and each line is written when it is measured."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--models", nargs="+", required=True, help="Names without .safetensors.")
    parser.add_argument("--clips", type=int, default=128, help="Clips, the same for each.")
    parser.add_argument("--to", type=Path, required=True, help="JSON file of the results.")
    options = parser.parse_args()
    run = Run(options.out)
    found: list[Line] = json.loads(options.to.read_text(encoding="utf-8")) if options.to.exists() else []
    for name in options.models:
        for line in lines_of(run, name, options.clips, found):
            found.append(line)
            write_text(options.to, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
