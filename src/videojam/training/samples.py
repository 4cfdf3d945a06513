"""Validation clips: what the model at hand samples, beside the base's clips from the same noise.

Texts are encoded when the run starts, and the text encoders are freed. The base's clips are sampled then, too, before
the first step or the checkpoint's weights: a freshly widened model draws what its base draws. Their latents are kept in
files. The autoencoder is loaded for each set of clips and freed. All noise comes from generators of its own seeds, so
the run's numbers are the same without clips.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from videojam.files import write_tensors
from videojam.models.load import LoadedModel, load_without_texts, with_image
from videojam.models.outline import free
from videojam.sampling.sample import decode_halves, sample
from videojam.sampling.settings import SampleSettings, resolve
from videojam.training.config import SamplesConfig, TrainConfig
from videojam.training.ema import averaged
from videojam.training.sample_files import FOLDER, Clip, folder_of, write_clips
from videojam.training.samples_plan import Plan, as_trained, settings_at, settings_of_base
from videojam.training.state import TrainRun
from videojam.training.stop import StopRequest


class _StoppedError(Exception):
    """The run is to stop."""


@dataclass
class Samples:
    """Samples validation clips of a run; with FSDP2 all processes sample together, else the first one does.

    Attributes:
        config: The recipe.
        plan: What is sampled.
        base: The base by its configs.
        component: Name of the trained transformer.
        transformer: It, as the stock pipeline calls it.
        device: Where it is.
        trackers: Where clips are shown besides their files.
        longest_s: Time of the slowest set of clips so far.
    """

    config: TrainConfig
    plan: Plan
    base: LoadedModel
    component: str
    transformer: Any
    device: torch.device
    trackers: list[Any] = field(default_factory=list)
    longest_s: float = 0.0

    @property
    def asked(self) -> SamplesConfig:
        """The recipe's part."""
        assert self.config.samples is not None
        return self.config.samples

    def is_due(self, step: int) -> bool:
        """Whether a step has validation clips."""
        return step > 0 and (step % self.asked.every == 0 or step == self.config.num_steps)

    def is_missing(self, step: int) -> bool:
        """Whether the clips of a step that has some were not written, as the run was stopped."""
        return self.is_due(step) and not folder_of(self.config.out, step).is_dir()

    def of_base(self, run: TrainRun, say: Callable[[str, Any], None]) -> None:
        """Sample the base's clips and keep their latents, unless they are there; the weights are still the base's.

        Args:
            run: Before its first step, and before a checkpoint is read.
            say: Called with a note.
        """
        path = self._base_path
        (is_missing,) = run.votes.any(not path.is_file())
        if is_missing:
            say("note", f"sampling {len(self.plan.prompts)} clips of the base, to show beside the model's")
        if is_missing and self._takes_part(run):
            self._sample_base(run, path)
        run.votes.wait()

    def _sample_base(self, run: TrainRun, path: Path) -> None:
        settings = settings_of_base(self.plan.settings) if self.base.record is None else self.plan.settings
        with self._model(0) as model:
            latents = self._latents(run, model, settings)
        if run.votes.rank == 0:
            x = {str(i): z[0, : z.shape[1] // (1 + run.denoiser.is_joint)] for i, z in enumerate(latents)}
            write_tensors(path, {name: tensor.cpu().contiguous() for name, tensor in x.items()})

    def sample(self, run: TrainRun, stop: StopRequest) -> bool:
        """Sample with the average weights, decode, and write the clips beside the base's.

        Args:
            run: Whose model is sampled.
            stop: A wish to stop ends the sampling without files, as a checkpoint is more urgent; the run that goes on
                makes them. With FSDP2, whose processes sample together, it waits.

        Returns:
            Whether they are written; all processes get the same answer.
        """
        began, is_stopped = time.perf_counter(), False
        try:
            self._sample_and_write(run, stop)
        except _StoppedError:
            is_stopped = True
        run.votes.wait()
        (is_stopped,) = run.votes.any(is_stopped)
        self.longest_s = max(self.longest_s, time.perf_counter() - began)
        return not is_stopped

    def _sample_and_write(self, run: TrainRun, stop: StopRequest) -> None:
        if self._takes_part(run):
            with self._model(run.state.step) as model:
                with averaged(run.state):
                    latents = self._latents(run, model, settings_at(self.config, self.plan.settings), stop)
                if run.votes.rank == 0:
                    self._write(run.state.step, model, latents)

    @property
    def _base_path(self) -> Path:
        return self.config.out / FOLDER / f"base-{self.plan.key}.safetensors"

    def _takes_part(self, run: TrainRun) -> bool:
        return run.votes.rank == 0 or self.config.parallel.kind == "fsdp"

    @contextmanager
    def _model(self, step: int) -> Iterator[LoadedModel]:
        """Give the pipeline with the trained transformer in it and the autoencoder loaded, and free the rest."""
        base = load_without_texts(self.config.base, {self.component: self.transformer}, device=self.device)
        pipe = base.pipeline
        self.plan.texts.stand_in(pipe)
        model = as_trained(self.config, base, step)
        if self.asked.images:
            model = with_image(model)
        if self.asked.tiled:
            pipe.vae.enable_tiling()
        try:
            yield model
        finally:
            free(pipe)
            free(model.pipeline)  # another one where an image is given

    def _latents(
        self, run: TrainRun, model: LoadedModel, settings: SampleSettings, stop: StopRequest | None = None
    ) -> list[Tensor]:
        """Sample the latents of each clip, `[1, C or 2C, F, H, W]`, as steps compute and without compiled code."""
        from PIL import Image

        was_training = self.transformer.training
        self.transformer.eval()
        devices = [self.device] if self.device.type == "cuda" else []
        images: list[Any] = [Image.open(path) for path in self.asked.images] or [None] * len(
            self.plan.prompts
        )

        def on_step(done: int, total: int) -> None:
            if stop is not None and stop.asked and self.config.parallel.kind != "fsdp":
                raise _StoppedError

        try:
            with ExitStack() as stack:
                stack.enter_context(torch.random.fork_rng(devices))
                stack.enter_context(torch.compiler.set_stance("force_eager"))
                stack.enter_context(run.autocast())
                return [
                    sample(
                        model,
                        [prompt],
                        settings,
                        seeds=self.asked.seed + i,
                        image=image,
                        decode=False,
                        on_step=on_step,
                    ).latents
                    for i, (prompt, image) in enumerate(zip(self.plan.prompts, images, strict=True))
                ]
        finally:
            self.transformer.train(was_training)

    def _write(self, step: int, model: LoadedModel, latents: list[Tensor]) -> None:
        settings = resolve(model, settings_at(self.config, self.plan.settings))
        of_base = load_file(self._base_path)
        appearance = replace(model, record=None)
        clips = []
        for i, (prompt, z) in enumerate(zip(self.plan.prompts, latents, strict=True)):
            video, motion, _ = decode_halves(model, z, settings.num_frames)
            base, _, _ = decode_halves(appearance, of_base[str(i)][None].to(z), settings.num_frames)
            columns = [base[0], video[0], *([] if motion is None else [motion[0]])]
            clips.append(Clip(prompt, self.asked.seed + i, torch.cat(columns, dim=3)))
        write_clips(self.config.out, step, clips, settings, self.trackers)
