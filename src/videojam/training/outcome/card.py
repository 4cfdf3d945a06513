"""The model card: what the model is, how it is used, what it was trained on and how, and under which licence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from videojam import __version__
from videojam.models.record import MotionRecord
from videojam.models.resolve import is_hub_id
from videojam.training.config import TrainConfig
from videojam.training.outcome.curve import heldout_table
from videojam.training.outcome.licence import Licence
from videojam.training.outcome.run_facts import RunFacts
from videojam.training.outcome.samples import Sample

NAME = "README.md"
CURVE = "curve.png"
RECIPE = "recipe.yaml"
PAPER = "https://arxiv.org/abs/2502.02492"


@dataclass(frozen=True)
class CardFacts:
    """What a card says.

    Attributes:
        title: Name of the model.
        pipeline_class: Class of its diffusers pipeline.
        takes_image: Whether it is image-to-video.
        record: Motion record; None of a base or control.
        run: What its run says; None where it is not known.
        licence: Licence of the base.
        has_curve: Whether there is a picture of the curve.
        samples: Samples that were made.
        single_files: Names of the single files; empty: a diffusers folder.
        proof: What was checked, in words.
    """

    title: str
    pipeline_class: str
    takes_image: bool
    record: MotionRecord | None
    run: RunFacts | None
    licence: Licence
    has_curve: bool = False
    samples: Sequence[Sample] = ()
    single_files: Sequence[str] = ()
    proof: str = ""
    tags: tuple[str, ...] = field(default=("videojam", "text-to-video", "optical-flow"))

    @property
    def base(self) -> str | None:
        """The base as others can find it: a hub id; None of a folder of this machine."""
        named = self.record.base if self.record else self.run.config.base if self.run else ""
        return named if is_hub_id(named) else None


def card_text(facts: CardFacts) -> str:
    """Return the card as Markdown with the front matter of the Hub."""
    front: dict[str, Any] = dict(facts.licence.fields)
    if facts.base is not None:
        front |= {"base_model": facts.base, "base_model_relation": "finetune"}
    front |= {
        "pipeline_tag": "image-to-video" if facts.takes_image else "text-to-video",
        "library_name": "diffusers",
        "tags": list(facts.tags),
    }
    parts = [f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n", f"# {facts.title}\n", _what(facts)]
    parts += [_samples(facts), _use(facts), _training(facts), _data(facts), _licence(facts)]
    return "\n".join(part for part in parts if part)


def public_recipe(config: TrainConfig, *, exclude_defaults: bool = False) -> str:
    """Return a recipe as YAML without the folders of this machine, of which only the last part is kept.

    Args:
        config: The recipe.
        exclude_defaults: Leave out what equals the default.
    """
    content = _without_folders(config.model_dump(mode="json", exclude_defaults=exclude_defaults))
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_folders(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_folders(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _what(facts: CardFacts) -> str:
    if facts.record is None:
        how = "A text-to-video model that predicts only appearance."
        if facts.run is not None:
            how = "A plain fine-tune, without motion: the control of a VideoJAM model with the same data and noise."
        return how + "\n"
    record = facts.record
    steps = f"after {record.num_train_steps} training steps" if record.num_train_steps else "not trained yet"
    return (
        f"A joint model of appearance and motion ([VideoJAM]({PAPER})), {steps}: a stock `{facts.pipeline_class}` "
        "whose transformer reads and predicts the motion latent beside that of appearance, and is guided by its own "
        f"motion (Inner-Guidance). Motion: {record.motion}.\n"
    )


def _samples(facts: CardFacts) -> str:
    if not facts.samples:
        return "## Samples\n\nNone were made for this card.\n"
    shown = "the clip, and the motion that the model predicted" if facts.record else "the clip"
    rows = [
        f"![{sample.prompt}]({sample.picture})\n\n*{sample.prompt}* (seed {sample.seed}, {sample.how})\n"
        for sample in facts.samples
    ]
    return "\n".join([f"## Samples\n\nEach picture: {shown}. They were not chosen.\n", *rows])


def _use(facts: CardFacts) -> str:
    if facts.single_files:
        files = ", ".join(f"`{name}`" for name in facts.single_files)
        return (
            f"## Use\n\n{files}: the transformer with the names of the original code, for ComfyUI with videojam's node "
            "pack. The file's header holds the motion record. Autoencoder and text encoder are the base's.\n"
        )
    code = (
        "from videojam import load_model, sample\n\n"
        'output = sample(load_model("OWNER/NAME"), ["a prompt"], seeds=0)  # output.video, output.flow'
    )
    stock = ""
    if facts.record is not None:
        stock = " `DiffusionPipeline.from_pretrained` loads it too; guidance by motion is videojam's hook."
    return (
        f'## Use\n\n```bash\npip install videojam\nvideojam generate OWNER/NAME "a prompt" --out clips\n```\n\n'
        f"```python\n{code}\n```\n\nOWNER/NAME is this repository or its folder.{stock} {facts.proof}\n"
    )


def _training(facts: CardFacts) -> str:
    if facts.run is None:
        return "## Training\n\nThis card was written without the training run, so its recipe is not known here.\n"
    run = facts.run
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    parts = [
        f"## Training\n\nThe recipe, where it is not the default (complete: [{RECIPE}]({RECIPE})):\n",
        f"```yaml\n{public_recipe(run.config, exclude_defaults=True)}```\n",
    ]
    if facts.has_curve:
        parts.append(f"![Training and held-out losses against steps]({CURVE})\n")
    table = heldout_table(run.lines)
    if table:
        parts.append("\n".join(table) + "\n")
    revision = f", revision {run.git_revision}" if run.git_revision else ""
    parts.append(f"Trained with {versions}{revision}; exported by videojam {__version__}.\n")
    return "\n".join(parts)


def _data(facts: CardFacts) -> str:
    if facts.run is None:
        return ""
    run, source = facts.run, facts.run.config.data.source
    lines = [
        "## Data\n",
        f"{run.num_training} clips for training, {run.num_heldout} held out, {len(run.left_out)} left out; "
        f"{source.num_frames} frames of {source.width}×{source.height} px at {source.fps:g} fps.",
    ]
    reasons: dict[str, int] = {}
    for reason in run.left_out.values():
        words = " ".join(reason.split())
        reasons[words] = reasons.get(words, 0) + 1
    lines += [f"- left out: {number} × {reason}" for reason, number in sorted(reasons.items())[:10]]
    return "\n".join(lines) + "\n"


def _licence(facts: CardFacts) -> str:
    licence = facts.licence
    if licence.found_in is None:
        words = (
            "The folder of the base does not state its licence. A fine-tune is under the licence of its base: "
            "look it up before you share this model."
        )
    else:
        name = licence.fields.get("license_name", licence.fields["license"])
        words = f"{name}, as {licence.found_in} states. A fine-tune is under the licence of its base."
    return f"## Licence\n\n{words}\n"
