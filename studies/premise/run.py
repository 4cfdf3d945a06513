"""What the stages share: a run's folder, its device, its log, its models."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from studies.premise.config import ARM_KEY, ArmConfig, StudyConfig, load_config
from studies.premise.model import NUM_CHANNELS, make_base
from studies.premise.testbed import Bed, make_testbed
from videojam.joint.widen import widen_transformer

if TYPE_CHECKING:  # it imports scipy, which a GPU stage does without
    from videojam.evaluation.intervals import Interval

STARTED = time.monotonic()


class Run:
    """A folder that holds one study: its config, weights, curves, clips and log."""

    def __init__(self, folder: Path, config: StudyConfig | None = None) -> None:
        """Open a run; the config is written by the first stage and read by the others."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "config.json"
        if file.exists():
            self.config = load_config(file)
        else:
            self.config = config or StudyConfig()
            self.config.save(file)
        torch.set_float32_matmul_precision("high")
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bed: Bed = make_testbed(self.config, self.device)

    def log(self, line: str) -> None:
        """Print a line and keep it."""
        line = f"[{time.monotonic() - STARTED:6.1f}] {line}"
        print(line, flush=True)
        with (self.folder / "log.txt").open("a") as log:
            log.write(line + "\n")

    def model(self, name: str) -> torch.nn.Module:
        """Load an averaged model by its name, joint, and with noise of d's own, if its weights are."""
        state = load_file(self.folder / f"{name}.safetensors", device=str(self.device))
        model: torch.nn.Module = make_base(self.config.model, 0)
        num_in = state["patch_embedding.weight"].shape[1]
        if num_in > NUM_CHANNELS:
            model = widen_transformer(model, noise="same" if num_in == 2 * NUM_CHANNELS else "own")
        model.load_state_dict(state)
        return model.to(self.device).eval().requires_grad_(False)

    def arm(self, name: str) -> ArmConfig:
        """Return what a model did differently, as its weights say; a base did nothing."""
        with safe_open(self.folder / f"{name}.safetensors", framework="pt") as weights:
            said = (weights.metadata() or {}).get(ARM_KEY)
        return ArmConfig.model_validate_json(said) if said else ArmConfig(name=name)

    def weaker(self, name: str) -> str | None:
        """Return the earliest snapshot of a model, for autoguidance; None if none was kept."""
        steps = [file.stem.removeprefix(f"{name}-") for file in self.folder.glob(f"{name}-*.safetensors")]
        numbers = sorted(int(step) for step in steps if step.isdigit())
        return f"{name}-{numbers[0]}" if numbers else None


def in_percent(interval: Interval) -> dict[str, float]:
    """Return a share's mean and the ends of its interval as result files have them: in %, to one digit."""
    return {end: round(100 * float(getattr(interval, end)), 1) for end in ("mean", "low", "high")}


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with what every stage takes; the world and the training are set by the first stage."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="The run's folder; found files are resumed.")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="e.g. world.size_px=12")
    parser.add_argument("--minutes", type=float, default=5.0, help="Stops by itself after this.")
    parser.add_argument("--no-compile", action="store_true", help="Don't compile the model.")
    return parser


def config_of(settings: list[str]) -> StudyConfig:
    """Return the default config with some values replaced, given as `world.size_px=12`."""
    import yaml

    table: dict[str, dict[str, object] | object] = {}
    for setting in settings:
        key, _, text = setting.partition("=")
        *rooms, name = key.split(".")
        inner = table
        for room in rooms:
            inner = inner.setdefault(room, {})  # type: ignore[assignment]
        inner[name] = yaml.safe_load(text)
    if "code" in table:
        table["code"] = {**StudyConfig().code.model_dump(), **table["code"]}  # type: ignore[dict-item]
    return StudyConfig.model_validate(table)
