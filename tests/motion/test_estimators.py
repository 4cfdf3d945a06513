"""RAFT and DIS: shapes, batches, signs, and weights that cannot be had."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from videojam.errors import VideoJamError
from videojam.motion import estimators
from videojam.motion.estimators import DisFlow, RaftFlow, build_estimator


def moving_texture(right_px: int, down_px: int, num_frames: int = 3, size: int = 96) -> torch.Tensor:
    """Frames of a blurred random texture that moves by whole pixels."""
    generator = np.random.default_rng(0)
    texture = cv2.GaussianBlur(generator.uniform(0, 255, (160, 160, 3)).astype(np.float32), (0, 0), 2)
    texture = 255 * (texture - texture.min()) / (texture.max() - texture.min())
    rows, columns = (32 - down_px * np.arange(num_frames), 32 - right_px * np.arange(num_frames))
    frames = [texture[y : y + size, x : x + size] for y, x in zip(rows, columns, strict=True)]
    return torch.from_numpy(np.stack(frames)).to(torch.uint8).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="module")
def raft() -> RaftFlow:
    return RaftFlow(weights=None, batch_size=2, num_updates=2)


@pytest.mark.parametrize(("right_px", "down_px"), [(3, 0), (0, 2), (-2, -1)])
def test_dis_recovers_a_translation(right_px, down_px):
    flow = DisFlow()(moving_texture(right_px, down_px))
    assert flow.shape == (2, 2, 96, 96)
    inner = flow[..., 8:-8, 8:-8]
    assert float((inner[:, 0] - right_px).abs().mean()) < 0.1
    assert float((inner[:, 1] - down_px).abs().mean()) < 0.1
    assert float((inner - torch.tensor([right_px, down_px]).view(1, 2, 1, 1)).abs().max()) < 0.3


def test_dis_flow_lives_on_the_grid_of_its_first_frame():
    """A square jumps 6 px to the right: flow is where it was, not where it goes."""
    square = moving_texture(0, 0, num_frames=1, size=24)[0]
    video = moving_texture(0, 0, num_frames=2).flip(-1)
    for frame, left in enumerate((30, 36)):
        video[frame, :, 30:54, left : left + 24] = square
    u = DisFlow()(video)[0, 0]
    assert float(u[34:50, 34:50].mean()) == pytest.approx(6, abs=0.5)
    assert float(u[34:50, 31:35].mean()) > 3  # left in the second frame
    assert float(u[34:50, 56:60].mean()) < 3  # not there yet in the first
    assert float(u[:16].abs().mean()) < 0.1


@pytest.mark.parametrize(("height", "width"), [(8, 8), (12, 200), (33, 47)])
def test_dis_takes_any_size(height, width):
    generator = torch.Generator().manual_seed(0)
    video = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=generator)
    flow = DisFlow()(video)
    assert flow.shape == (1, 2, height, width)
    assert bool(torch.isfinite(flow).all())


def test_dis_carries_nothing_from_clip_to_clip():
    estimator, video = DisFlow(), moving_texture(3, 1)
    alone = estimator(video)
    estimator(moving_texture(-3, -2))
    assert torch.equal(estimator(video), alone)


@pytest.mark.parametrize(("height", "width"), [(37, 50), (129, 136)])
def test_raft_takes_any_size(raft, height, width):
    generator = torch.Generator().manual_seed(0)
    video = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=generator)
    flow = raft(video)
    assert flow.shape == (1, 2, height, width)
    assert flow.dtype == torch.float32
    assert bool(torch.isfinite(flow).all())


def test_raft_does_not_depend_on_the_batch(raft):
    video = moving_texture(2, 1, num_frames=4, size=64)
    whole = raft(video)
    assert whole.shape == (3, 2, 64, 64)
    assert float(whole.std()) > 0
    pairs = torch.cat([raft(video[i : i + 2]) for i in range(3)])
    torch.testing.assert_close(whole, pairs, atol=1e-4, rtol=1e-4)


def test_raft_sees_what_torchvision_sees(raft):
    """Where no padding is needed, the result is the stock network's on frames in [-1, 1], in order."""
    video = moving_texture(2, 1, num_frames=2, size=128)
    frames = video.float() / 255 * 2 - 1
    expected = raft.network(frames[:1], frames[1:], num_flow_updates=2)[-1]
    torch.testing.assert_close(raft(video), expected, atol=1e-4, rtol=1e-4)
    swapped = raft.network(frames[1:], frames[:1], num_flow_updates=2)[-1]
    assert float((swapped - expected).abs().max()) > 1e-2


def test_raft_repeats_the_edges_where_it_pads(raft):
    """At 122 × 120 the network is to see 128 × 128, edges repeated, and the result is its middle."""
    video = moving_texture(2, 1, num_frames=2, size=122)[..., :120]
    padded = np.pad(video.numpy(), ((0, 0), (0, 0), (3, 3), (4, 4)), mode="edge")
    expected = raft(torch.from_numpy(padded))[..., 3:-3, 4:-4]
    torch.testing.assert_close(raft(video), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_raft_reads_local_weights(raft, tmp_path, suffix):
    path = tmp_path / f"raft{suffix}"
    state = {
        name: 0.5 * tensor if tensor.is_floating_point() else tensor
        for name, tensor in raft.network.state_dict().items()
    }
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    loaded = RaftFlow(weights=path).network.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_raft_weights_that_do_not_fit_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(VideoJamError, match="raft_large"):
        RaftFlow(weights=tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    with pytest.raises(VideoJamError, match="state dict"):
        RaftFlow(weights=tmp_path / "broken.safetensors")
    with pytest.raises(VideoJamError, match="neither"):
        RaftFlow(weights=tmp_path / "absent.pth")


class Planted:
    """An object that a pickle would rebuild by running code."""

    def __reduce__(self):
        return (print, ("this must never run",))


def test_raft_unpickles_nothing(tmp_path, capsys):
    torch.save({"weight": Planted()}, tmp_path / "planted.pth")
    with pytest.raises(VideoJamError, match="only tensors"):
        RaftFlow(weights=tmp_path / "planted.pth")
    assert "this must never run" not in capsys.readouterr().out


def test_raft_without_network_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def unreachable(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    with pytest.raises(VideoJamError, match=r"C_T_V1.*Name or service not known.*dis"):
        RaftFlow(weights="C_T_V1")


def test_random_raft_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    RaftFlow(weights=None)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_build_estimator():
    assert build_estimator("dis").name == "dis"
    assert build_estimator("raft", weights=None).name == "raft None"  # other weights, other flow, other cache
    assert build_estimator("dis", weights="C_T_V1", device="cpu").name == "dis"
    with pytest.raises(VideoJamError, match="raft or dis for ordinary video"):
        build_estimator("exact")
    with pytest.raises(VideoJamError, match="raft, dis or exact"):
        build_estimator("farneback")


def test_one_frame_has_no_flow(raft):
    for estimator in (raft, DisFlow()):
        with pytest.raises(VideoJamError, match="two frames"):
            estimator(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def test_names_are_those_of_the_motion_code():
    assert (estimators.RaftFlow.name, estimators.DisFlow.name) == ("raft", "dis")
