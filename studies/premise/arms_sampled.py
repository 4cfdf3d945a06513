"""Stage 4: every arm's clips, judged. `python -m studies.premise.arms_sampled --out RUN`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from studies.premise.model import is_joint
from studies.premise.rules import Rule
from studies.premise.run import Run, arguments
from studies.premise.sample import coherence, sample
from videojam.files import write_tensors

PLAIN_RULES = (
    Rule(),
    Rule(w_text=1.0),
    Rule(w_text=3.0),
    Rule(w_text=5.0),
    Rule(w_text=8.0),
    Rule(w_auto=1.0),
    Rule(w_auto=2.0),
    Rule(w_text=1.0, w_auto=2.0),
    Rule(w_text=3.0, w_auto=1.0),
    Rule(w_text=3.0, w_auto=2.0),
    Rule(w_text=5.0, w_auto=2.0),
    Rule(w_text=8.0, w_auto=2.0),
)
JOINT_RULES = (
    Rule(),
    Rule(w_motion=1.0),
    Rule(w_motion=2.0),
    Rule(w_motion=4.0),
    Rule(w_text=1.0),
    Rule(w_text=1.0, w_motion=2.0),
    Rule(w_text=3.0, w_motion=2.0),
    Rule(w_text=3.0, w_motion=4.0),
    Rule(w_text=5.0, w_motion=2.0),
    Rule(w_text=5.0, w_motion=4.0),
    Rule(w_text=8.0, w_motion=2.0),
    Rule(w_text=8.0, w_motion=4.0),
    Rule(w_text=3.0),
    Rule(null_motion=True),
    Rule(w_text=1.0, null_motion=True),
    Rule(w_text=3.0, null_motion=True),
    Rule(w_motion=2.0, on="appearance"),
    Rule(w_motion=2.0, window=(0.0, 0.3)),
    Rule(w_motion=2.0, window=(0.3, 1.0)),
    Rule(w_motion=2.0, reuse=2),
    Rule(w_text=1.0, w_motion=3.0, form="ip2p"),
    Rule(w_auto=2.0),
    Rule(w_motion=2.0, w_auto=1.0),
    Rule(oracle=True),
    Rule(w_motion=2.0, on="appearance", oracle=True),
)
GAIN_RULES = (
    *(Rule(w_text=w_text, w_motion=w_motion) for w_text in (0.0, 3.0, 8.0) for w_motion in (0.0, 2.0, 4.0)),
    Rule(null_motion=True),
    Rule(oracle=True),
)
LEADS = (1.0, 2.0, 5.0, 10.0)
OWN_NOISE_RULES = (
    *(
        Rule(w_text=w_text, w_motion=w_motion, lead=lead)
        for lead in LEADS
        for w_text in (0.0, 3.0)
        for w_motion in (0.0, 2.0)
    ),
    Rule(null_motion=True),
    Rule(oracle=True),
    Rule(oracle=True, lead=5.0),
)
NUM_MOTION_KEPT = 64


def rules_of(run: Run, name: str, wanted: Sequence[str] | None = None) -> tuple[Rule, ...]:
    """Return the rules under which a model is sampled; if names are given, only those of these names."""
    rules = _all_rules(run, name)
    return tuple(rule for rule in rules if rule.name in wanted) if wanted else rules


def _all_rules(run: Run, name: str) -> tuple[Rule, ...]:
    arm = run.arm(name)
    if arm.noise == "own":
        return OWN_NOISE_RULES
    if arm.gain is not None:
        return GAIN_RULES
    # weights of earlier runs don't say their arm
    return JOINT_RULES if is_joint(run.model(name)) else PLAIN_RULES


def sample_model(run: Run, name: str, rules: tuple[Rule, ...], num: int, noise_seed: int) -> None:
    """Sample a model under rules; writes its clips with the judge's flags, and the flags on their own.

    The files are `NAME.nSEED.clips.safetensors` and `NAME.nSEED.flags.safetensors`. They are written after each
    rule, and a rule that is in them is not sampled again.
    """
    model, weaker = run.model(name), run.weaker(name)
    bed = run.bed.with_gain(run.arm(name).gain)
    helper = run.model(weaker) if weaker else None
    clips_path = clips_file(run.folder, name, noise_seed)
    tensors: dict[str, Tensor] = load_file(clips_path) if clips_path.exists() else {}
    for rule in rules:
        if f"{rule.name}/coherent" in tensors:
            run.log(f"{name} {rule.name}: as found")
            continue
        if rule.w_auto and helper is None:
            run.log(f"{name} {rule.name}: not sampled, no snapshot to lead away from")
            continue
        started = time.monotonic()
        clips = sample(bed, model, rule, num, noise_seed, helper)
        flags = coherence(bed, clips)
        tensors[f"{rule.name}/video"] = clips.video.cpu()
        tensors[f"{rule.name}/caption"] = clips.caption.cpu()
        if clips.motion is not None:
            tensors[f"{rule.name}/motion"] = clips.motion[:NUM_MOTION_KEPT].cpu()
        tensors |= {f"{rule.name}/{key}": flag for key, flag in flags.items()}
        run.log(f"{name} {rule.name}: {_shares(flags)} in {time.monotonic() - started:.1f} s")
        _write(clips_path, {key: value.contiguous() for key, value in tensors.items()})


def _write(clips_path: Path, tensors: dict[str, Tensor]) -> None:
    """Write clips with their flags, and the flags on their own."""
    write_tensors(clips_path, tensors)
    flags_only = {key: value for key, value in tensors.items() if not key.endswith(("/video", "/motion"))}
    flags_name = clips_path.name.replace(".clips.", ".flags.")
    write_tensors(clips_path.with_name(flags_name), flags_only)


def clips_file(folder: Path, name: str, noise_seed: int) -> Path:
    """Return where a model's clips are kept."""
    return folder / f"{name}.n{noise_seed}.clips.safetensors"


def _shares(flags: dict[str, Tensor]) -> str:
    return ", ".join(f"{key} {100 * flag.float().mean():.1f} %" for key, flag in flags.items())


def main() -> None:
    """Run the stage."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--models", nargs="+", required=True, help="Names without .safetensors.")
    parser.add_argument("--clips", type=int, default=512, help="Clips of each rule.")
    parser.add_argument("--noise", type=int, default=0, help="Seed of the noise.")
    parser.add_argument(
        "--rules", nargs="*", metavar="NAME", help="e.g. w1=3_w2=2; a model's others are left out."
    )
    options = parser.parse_args()
    run = Run(options.out)
    for name in options.models:
        sample_model(run, name, rules_of(run, name, options.rules), options.clips, options.noise)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
