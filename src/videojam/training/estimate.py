"""What a recipe needs before it runs: memory of each stage and of a step, and time, from only configs."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from videojam.data.encode import BATCH_PX, clips_together
from videojam.joint.batch import Batch
from videojam.models.configs import empty_module
from videojam.models.describe import TransformerFacts
from videojam.models.load import LoadedModel, with_image
from videojam.models.memory import SmallWeights, TrainingMemory, training_memory
from videojam.objective.denoiser import Denoiser
from videojam.objective.draws import Draws
from videojam.objective.loss import joint_loss
from videojam.training.base_weights import BYTES, matrices_of, matrices_to_bf16, stored_type
from videojam.training.config import TrainConfig
from videojam.training.offload import blocks_of
from videojam.training.samples_cost import SamplesCost, cost_of_samples
from videojam.training.simulate import Tracker, autoencoder_without_data, cost_of_step
from videojam.training.trainable import mark_trainable

MOMENT_BYTES = {"adamw": 8.0, "muon": 8.0, "adamw_8bit": 2.04, "adafactor": 0.01}
"""Of the optimizers, for each trained parameter; Muon's is AdamW's, of which it holds one half of the matrices'."""


class Estimate(BaseModel):
    """Bytes and operations of a run on one process that holds the whole model."""

    model_config = ConfigDict(frozen=True)

    memory: TrainingMemory = Field(description="Weights, gradients, moments and average of the transformer.")
    step: int = Field(
        description="A step's peak above weights, moments and average: activations and gradients."
    )
    text_stage: int | None = Field(
        description="Weights of the text encoders; None: not known from the configs."
    )
    pixel_stage: int = Field(
        description="Weights of the autoencoder, and what encoding the largest clips holds."
    )
    flops: float = Field(description="Operations of an optimizer step over the whole batch.")
    rows: int = Field(description="Clips of one forward.")
    activations: int = Field(description="What these clips hold in a step, gradients not counted.")
    beside: int = Field(
        0, description="What encoding in the steps holds beside them: the autoencoder, and a clip."
    )
    samples: SamplesCost | None = Field(description="Of validation clips; None where the recipe has none.")
    offloaded: int = Field(
        description="Weights of frozen blocks that wait in the host's memory, less those of a group on the device."
    )
    gathered: int = Field(
        description="What FSDP2 gathers at a time: two blocks in bf16, and the gradient of one in fp32."
    )

    @property
    def held(self) -> int:
        """Bytes that stay from step to step."""
        return self.memory.weights - self.offloaded + self.memory.adam + self.memory.ema

    @property
    def training(self) -> int:
        """Peak while steps run."""
        return self.held + self.step + self.beside

    @property
    def peak(self) -> int:
        """Peak of the run: its largest stage."""
        return max(self.training, self.sampling or 0, self.text_stage or 0, self.pixel_stage)

    @property
    def sampling(self) -> int | None:
        """Peak while validation clips are sampled; None without them."""
        return None if self.samples is None else self.held + self.beside + self.samples.held()

    @property
    def samples_flops(self) -> float:
        """Operations of all validation clips."""
        return 0.0 if self.samples is None else self.samples.flops

    def sharded(self, num_cards: int, config: TrainConfig) -> int:
        """Return the peak of training, validation clips included, on each card of FSDP2.

        Weights, gradients, moments and average are cut into as many parts; activations are not, but with more cards
        each has fewer clips.

        Args:
            num_cards: Of the run.
            config: The recipe.
        """
        cut = self.held + self.memory.gradients
        rows = _rows(config, num_cards)
        whole = self.gathered + self.beside
        training = round(cut / num_cards + whole + self.activations * rows / self.rows)
        if self.samples is None:
            return training
        held = self.held // num_cards + self.beside
        return max(training, held + self.samples.held(num_cards, self.gathered))

    def cards(self, card_bytes: float, config: TrainConfig) -> int | None:
        """Return the number of cards of FSDP2, a power of two up to the batch, on which a run fits; None: on none.

        Args:
            card_bytes: Memory of a card; a tenth is left for what is not counted.
            config: The recipe.
        """
        room = 0.9 * card_bytes
        if max(self.text_stage or 0, self.pixel_stage) > room:
            return None
        numbers = (2**i for i in range(config.batch_size.bit_length()))
        return next((n for n in numbers if self.sharded(n, config) <= room), None)


def estimate(
    config: TrainConfig,
    model: LoadedModel,
    facts: TransformerFacts,
    text_bytes: int | None,
) -> Estimate:
    """Estimate a recipe's memory and operations.

    Args:
        config: The recipe.
        model: The base by its configs.
        facts: Of the transformer that is trained.
        text_bytes: Weights of its text encoders.
    """
    model = with_image(model) if config.image_to_video else model
    joint = _joint_config(config, model, facts)
    whole = empty_module(joint)
    names = set(matrices_of(whole, model.family))
    sizes = {name: p.numel() for name, p in whole.named_parameters() if name in names}
    num_small = sum(sizes.values())
    num_small_trained = sum(size for name, size in sizes.items() if not model.family.is_frozen(name))
    stored = stored_type(config)
    memory = training_memory(
        facts, config.lora, ema=config.ema_decay > 0, bf16=config.precision == "bf16",
        small=SmallWeights(num_small, BYTES[stored], num_small_trained) if stored != "fp32" else None,
        moment_bytes=MOMENT_BYTES[config.optimizer.name],
    )  # fmt: skip
    rows = _rows(config, 1)
    lengths = {name: len(blocks) for name, blocks in whole.named_children() if blocks in blocks_of(whole)}
    build = partial(_built, config, model, joint)
    cost = cost_of_step(build, lengths, _loss(config, model, joint, rows))
    step = max(cost.peak, memory.gradients + cost.saved if config.accumulation > 1 else memory.gradients)
    pixel_stage = _pixel_stage(config, model)
    return Estimate(
        memory=memory,
        step=round(step),
        text_stage=text_bytes,
        pixel_stage=pixel_stage,
        samples=cost_of_samples(config, model, build, lengths, memory.ema),
        offloaded=_offloaded(config, whole, names),
        beside=pixel_stage if config.data.encode == "online" else 0,
        flops=cost.flops * config.batch_size / rows,
        rows=rows,
        # at the fullest the backward of one block runs, on top of what the forward saved or of all gradients
        activations=round(cost.saved + cost.peak - max(cost.saved, cost.gradients)),
        gathered=8 * facts.num_joint_parameters // max(1, sum(map(len, blocks_of(whole)))),
    )


def _rows(config: TrainConfig, num_processes: int) -> int:
    """Return the clips of one forward of a process."""
    return max(1, math.ceil(config.batch_size / num_processes / config.accumulation))


def _joint_config(config: TrainConfig, model: LoadedModel, facts: TransformerFacts) -> dict[str, Any]:
    """Return the config of the transformer that is trained, its class named."""
    own: Mapping[str, Any] = model.family.transformers(model.pipeline)[facts.component].config
    joint = dict(own) if model.is_joint or config.method == "plain" else model.family.joint_config(own)
    return {**joint, "_class_name": facts.transformer_class}


def _built(
    config: TrainConfig, model: LoadedModel, joint: dict[str, Any], lengths: Mapping[str, int]
) -> nn.Module:
    """Return the transformer on `meta`, ready to train, with so many blocks in each of its lists."""
    transformer = empty_module(joint)
    for name, length in lengths.items():
        setattr(transformer, name, getattr(transformer, name)[:length])
    mark_trainable(transformer, model.family, config.lora, config.seed)
    if stored_type(config) != "fp32":
        matrices_to_bf16(transformer, model.family)
    transformer.train()
    if config.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    return transformer


def _offloaded(config: TrainConfig, whole: nn.Module, small: set[str]) -> int:
    """Return the bytes of frozen blocks in the host's memory, less those of a group that is on the device."""
    if config.offload_blocks is None:
        return 0
    small_bytes, in_blocks, largest = BYTES[stored_type(config)], 0.0, 0.0
    for name, blocks in whole.named_children():
        if not isinstance(blocks, nn.ModuleList) or blocks not in blocks_of(whole):
            continue
        sizes = [
            sum(
                p.numel() * (small_bytes if f"{name}.{i}.{key}" in small else 4)
                for key, p in block.named_parameters()
            )
            for i, block in enumerate(blocks)
        ]
        in_blocks += sum(sizes)
        groups = range(0, len(sizes), config.offload_blocks)
        largest = max(largest, *(sum(sizes[i : i + config.offload_blocks]) for i in groups))
    return round(in_blocks - largest)


def _loss(
    config: TrainConfig, model: LoadedModel, joint: dict[str, Any], rows: int
) -> Callable[[nn.Module], Tensor]:
    """Return what computes the loss of a batch without data."""
    source, pipe = config.data.source, model.pipeline
    latent = model.family.latent_shape(pipe, source.num_frames, source.height, source.width)
    length = config.data.max_sequence_length or model.defaults.max_sequence_length
    shapes = model.family.text_shapes(joint, length or model.family.default_sequence_length(pipe))
    image = model.family.image_shapes(joint, latent) if model.family.takes_image(pipe) else {}

    def loss(transformer: nn.Module) -> Tensor:
        batch = Batch(
            torch.empty(rows, *latent), torch.empty(rows, *latent),
            {name: torch.ones(rows, *shape) for name, shape in (shapes | image).items()},
        )  # fmt: skip
        never = torch.zeros(rows, dtype=torch.bool)
        noise = torch.empty(rows, *latent)
        sigma = torch.rand(rows)
        draws = Draws(
            sigma=sigma, sigma_d=sigma, eps_x=noise, eps_d=noise.clone(), drop_text=never, drop_motion=never
        )
        null = {name: torch.ones(1, *shape) for name, shape in shapes.items()}
        is_joint = config.method == "videojam"
        denoiser = Denoiser(cast(Any, transformer), model.family, is_joint, null)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
            halves = denoiser.losses(batch, draws)
        return joint_loss(halves, 1.0)

    return loss


def _pixel_stage(config: TrainConfig, model: LoadedModel) -> int:
    """Return the autoencoder's weights and what encoding holds, on a line through two short lengths of clip."""
    source, pipe, family = config.data.source, copy.copy(model.pipeline), model.family
    temporal = family.compression(pipe)[0]
    short, longer = 1 + temporal, 1 + 2 * temporal
    num_px = source.num_frames * source.height * source.width
    clips = clips_together(num_px)
    videos = 2 * clips if 2 * clips * num_px <= BATCH_PX else 1

    def held(num_frames: int) -> int:
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        vae = autoencoder_without_data(pipe, mode)
        with mode, Tracker(vae.parameters()) as tracker, torch.no_grad():
            family.encode_posterior(pipe, torch.empty(videos, 3, num_frames, source.height, source.width))
        return tracker.peak

    weights = sum(4 * parameter.numel() for parameter in pipe.vae.parameters())
    low, high = held(short), held(longer)
    return round(weights + max(high, low + (high - low) * (source.num_frames - short) / temporal))
