"""One rank of FSDP2 on a joint model: two training steps, sampling, a gathered save; and the same in one process.

python fsdp_worker.py JOINT_FOLDER OUT, with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT in the environment.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from diffusers import WanTransformer3DModel
from safetensors.torch import save_file
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from videojam.families import family_of
from videojam.guidance.config import Guidance
from videojam.guidance.window import Window
from videojam.joint.batch import Batch
from videojam.models.load import LoadedModel, load_model
from videojam.objective.denoiser import Denoiser
from videojam.objective.draws import Draws
from videojam.sampling.sample import sample
from videojam.training.new_rate import new_entries

NUM_CLIPS, NUM_STEPS = 4, 2


def batch() -> tuple[Batch, Draws]:
    generator = torch.Generator().manual_seed(0)
    x, d, eps_x, eps_d = (torch.randn(NUM_CLIPS, 4, 2, 4, 4, generator=generator) for _ in range(4))
    text = {"encoder_hidden_states": torch.randn(NUM_CLIPS, 8, 16, generator=generator)}
    sigma, never = torch.rand(NUM_CLIPS, generator=generator), torch.zeros(NUM_CLIPS, dtype=torch.bool)
    return Batch(x, d, text), Draws(sigma, eps_x, eps_d, never, never, sigma)


def train(transformer: WanTransformer3DModel, rows: list[int], clip: float = 1.0) -> None:
    """Take steps of Eq. 6 on some rows of the batch; the gradient is averaged over the ranks."""
    whole, draws = batch()
    part = Batch(whole.x[rows], whole.d[rows], {key: value[rows] for key, value in whole.text.items()})
    family = family_of(transformer)
    null_text = {key: torch.zeros_like(value[:1]) for key, value in part.text.items()}
    denoiser = Denoiser(transformer, family, True, null_text)
    transformer.train()
    optimizer = torch.optim.SGD(transformer.parameters(), lr=0.5)
    for _ in range(NUM_STEPS):
        sum(loss.mean() for loss in denoiser.losses(part, draws.rows(rows))).backward()
        torch.nn.utils.clip_grad_norm_(transformer.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad()


def latents(model: LoadedModel) -> torch.Tensor:
    """Sample with Inner-Guidance by the hook."""
    model.pipeline.transformer.eval()
    guidance = Guidance(w_text=2.0, w_motion=1.5, window=Window(end=1.0))
    size = {"num_frames": 9, "height": 32, "width": 32, "num_steps": 3, "max_sequence_length": 8}
    return sample(model, ["a red ball"], seeds=5, guidance=guidance, decode=False, **size).latents


def save(state: dict[str, torch.Tensor], drawn: torch.Tensor, path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in state.items()} | {"latents": drawn}, path)


def main() -> None:
    torch.set_num_threads(1)
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    dist.init_process_group("gloo")
    rank, num_ranks = dist.get_rank(), dist.get_world_size()
    model = load_model(folder)
    transformer = model.pipeline.transformer
    assert new_entries(transformer, family_of(transformer)), "the new entries are found before sharding"
    mesh = init_device_mesh("cpu", (num_ranks,))
    for block in transformer.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(transformer, mesh=mesh)
    assert type(transformer.proj_out.weight).__name__ == "DTensor"
    train(transformer, list(range(rank, NUM_CLIPS, num_ranks)))
    drawn = latents(model)
    state = get_model_state_dict(
        transformer, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
    )
    if rank == 0:
        save(state, drawn, out / "sharded.safetensors")
        model = load_model(folder)
        train(model.pipeline.transformer, list(range(NUM_CLIPS)))
        save(model.pipeline.transformer.state_dict(), latents(model), out / "single.safetensors")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
