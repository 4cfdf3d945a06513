"""Benches that have a name: the demo, and the paper's Table 3, whose five rows differ only in sampling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from videojam.bench.make.arms import TRUTH, ArmSpec, arm_of
from videojam.bench.make.sources import find_source
from videojam.bench.make.suites import Prompt, Suite
from videojam.bench.work import Plan
from videojam.errors import VideoJamError
from videojam.evaluation.world_judge import WORLD
from videojam.models.record import load_defaults, load_record
from videojam.sampling.settings import SampleSettings, unread
from videojam.tiny import PREFIX
from videojam.world import captions

DEMO_SEED = 900_000_000
"""First seed of the demo's scenes, far above those that any recipe trains on."""
DEMO_ARMS = {"base": "base", "control": "control", "VideoJAM": "videojam"}
"""Models of the demo by the names of their arms."""
DEMO_BATCH_SIZE = 13
DEMO_CLIPS = 13
"""Clips of each caption of the world."""
NUM_SHOWN = 8
DEMO_TITLE = "The same noise, three models"
DEMO_MODELS = (
    "A text-to-video model of 1.2 M parameters, the base, beside two fine-tunes of it on the same clips for the same "
    "23,272 steps: a control, which learns only appearance, and VideoJAM, which learns to predict motion together with "
    "appearance and lets its own motion guide each clip."
)
"""What ships; docs/study-premise.md."""
OWN_MODELS = (
    "A text-to-video model, the base, beside two fine-tunes of it: a control, which learns only appearance, and "
    "VideoJAM, which learns to predict motion together with appearance and lets its own motion guide each clip."
)
DEMO_ABOUT = (
    "All three get the same prompts and the same noise. In each "
    "clip one 2×2 square moves along a row or a column over a texture that stands still. Beneath each clip the "
    "texture is dimmed and what changes is lit: the outline is the square of the lawful clip that explains most "
    "frames, green where it explains the frame and red where it does not. docs/study-premise.md has the study."
)


def demo_sources(models: Path | None = None) -> dict[str, str]:
    """Return the demo's models by the names of their arms: the shipped ones, or those of a folder.

    Raises:
        VideoJamError: the folder lacks one.
    """
    return {arm: _demo_source(name, models) for arm, name in DEMO_ARMS.items()}


def demo_plan(
    clips_per_kind: int | None = None, seed: int = 0, num_steps: int | None = None, models: Path | None = None
) -> Plan:
    """Return the bench of base, control and VideoJAM on the captions of the world.

    Args:
        clips_per_kind: Prompts for each caption of the world.
        seed: Chooses other noise.
        num_steps: Sampling steps; the models' own if None.
        models: Folder with `base/`, `control/` and `videojam/` in place of the shipped models.

    Raises:
        VideoJamError: a model is missing.
    """
    sources = demo_sources(models)
    changes = {arm: {} if models is None else _own_model(arm, source) for arm, source in sources.items()}
    arms = [
        arm_of(arm, {"source": source, "num_steps": num_steps, **changes[arm]})
        for arm, source in sources.items()
    ]
    size = {name: value for name, value in changes["base"].items() if name in WORLD.file_size}
    arms.append(arm_of("truth", {"source": TRUTH, **size}))
    suite = world_suite(DEMO_SEED + 1000 * seed, clips_per_kind or DEMO_CLIPS)
    about = f"{DEMO_MODELS if models is None else OWN_MODELS} {DEMO_ABOUT}"
    return Plan(suite, arms, against="control", title=DEMO_TITLE, about=about)


def _demo_source(name: str, models: Path | None) -> str:
    if models is None:
        return PREFIX + name
    if not (models / name).is_dir():
        raise VideoJamError(
            expected=f"a folder with {', '.join(f'{known}/' for known in DEMO_ARMS.values())}",
            found=f"no {name}/ in it"
            if models.is_dir()
            else "a file"
            if models.is_file()
            else "no such folder",
            where=f"--models {models}",
            fix="Correct the path, or leave --models out to use the shipped models.",
        )
    return str(models / name)


def _own_model(arm: str, source: str) -> dict[str, Any]:
    """Return what a model of one's own is sampled with: the world's size where it names none.

    A control of joint shape was trained with its motion input at zero, so it is sampled so.
    """
    folder = find_source(ArmSpec(name=arm, source=source)).folder or Path()
    own = load_defaults(folder)
    size = {name: getattr(own, name) or value for name, value in WORLD.file_size.items()}
    is_joint = load_record(folder) is not None
    return size | ({"mode": "cfg", "drop_motion": True} if is_joint and arm != "VideoJAM" else {})


def world_suite(first: int, num_each: int) -> Suite:
    """Return the world's captions in turn, each with seeds of its own."""
    texts = captions(WORLD)
    seeds = range(first, first + num_each * len(texts))
    prompts = tuple(
        Prompt(id=f"{text.split()[0]}-{text.split()[-1]}-{seed}", text=text, category=text, seed=seed)
        for seed, text in zip(seeds, texts * num_each, strict=True)
    )
    note = "The captions of the world, each many times: what differs is the noise, and the truth's scene."
    return Suite(name="world", note=note, prompts=prompts)


FULL = "full"
ABLATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    FULL: ("VideoJAM-4B", {"mode": "inner"}),
    "no-text-guidance": ("w/o text guidance", {"mode": "inner", "w_text": 0.0}),
    "no-inner-guidance": ("w/o Inner-Guidance", {"mode": "cfg"}),
    "no-optical-flow": ("w/o optical flow", {"mode": "cfg", "drop_motion": True}),
    "ip2p-guidance": ("IP2P guidance", {"mode": "ip2p"}),
}
"""Arms by name: the paper's row, and what is changed of the full model (w1 = 0, w2 = 0, d = 0, IP2P)."""


def ablation_plan(spec: ArmSpec, suite: Suite, num_seeds: int = 1) -> Plan:
    """Return the bench of the paper's Table 3 on one joint model, the full one first.

    Raises:
        VideoJamError: as `ablation_arms`.
    """
    return Plan(suite, ablation_arms(spec), num_seeds, against=FULL)


def ablation_arms(spec: ArmSpec) -> list[ArmSpec]:
    """Return the five arms of a joint model; weights and sizes are those of `spec`.

    Raises:
        VideoJamError: `spec` already sets what the arms differ in.
    """
    clash = [name for name in ("mode", "drop_motion") if getattr(spec.settings, name) is not None]
    if clash or spec.pipeline == "stock":
        raise VideoJamError(
            expected="a joint model with weights, window and size at most",
            found=", ".join(clash) or "pipeline=stock",
            where="bench ablate",
            fix=f"Remove {' and '.join(clash) or 'pipeline=stock'} from the arm: the ablations set it.",
        )
    return [_ablated(spec, name, changes) for name, (_, changes) in ABLATIONS.items()]


def _ablated(spec: ArmSpec, name: str, changes: dict[str, Any]) -> ArmSpec:
    """The arm with changes, without the weights and window that its guidance would not read."""
    ignored = unread(changes["mode"], changes.get("drop_motion", False))
    given = {key: value for key, value in spec.settings.given.items() if key not in ignored}
    return spec.model_copy(update={"name": name, "settings": SampleSettings(**{**given, **changes})})
