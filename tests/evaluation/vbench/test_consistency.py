"""DINO and CLIP consistency against a plain implementation of network, preprocessing and loop."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, ViTConfig, ViTModel

from videojam.errors import VideoJamError
from videojam.evaluation.vbench.consistency import ClipFeatures, DinoFeatures, consistency

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    torch.manual_seed(0)
    network = ViTModel(ViTConfig(**SIZES), add_pooling_layer=False)
    spread(network)
    folder = tmp_path_factory.mktemp("dino")
    network.save_pretrained(folder)
    return folder, network.state_dict()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    torch.manual_seed(1)
    network = CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES, projection_dim=16))
    spread(network)
    folder = tmp_path_factory.mktemp("clip")
    network.save_pretrained(folder)
    return folder, network.state_dict()


def spread(network):
    """Random weights large enough that every part of the network matters."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)


def clip_of_noise(t=5, height=240, width=331, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (t, 3, height, width), np.uint8))


def cubic(p, a=-0.75):
    p = abs(p)
    if p < 1:
        return (a + 2) * p**3 - (a + 3) * p**2 + 1
    return a * (p**3 - 5 * p**2 + 8 * p - 4) if p < 2 else 0.0


def linear(p):
    return max(0.0, 1 - abs(p))


def resample_matrix(size, new_size, step, kernel, reach):
    """Rows: output pixels; plain sampling (no antialias) with the border repeated."""
    matrix = np.zeros((new_size, size))
    for i in range(new_size):
        centre = (i + 0.5) * step - 0.5
        for j in range(math.floor(centre) - reach + 1, math.floor(centre) + reach + 1):
            matrix[i, min(max(j, 0), size - 1)] += kernel(centre - j)
    return matrix


def resized(frame, kernel, reach):
    _, height, width = frame.shape
    short = min(height, width)
    new = [224 if side == short else int(224 * side / short) for side in (height, width)]
    rows = resample_matrix(height, new[0], height / new[0], kernel, reach)
    columns = resample_matrix(width, new[1], width / new[1], kernel, reach)
    return rows @ frame.numpy().astype(np.float64) @ columns.T


def normalised(frame, mean, std):
    shape = (3, 1, 1)
    return (frame / 255 - np.reshape(mean, shape)) / np.reshape(std, shape)


def attention(x, state, prefix, out, num_heads):
    q, k, v = (dense(x, state, f"{prefix}.{name}_proj") for name in "qkv")
    width = x.shape[-1] // num_heads
    heads = []
    for h in range(num_heads):
        part = slice(h * width, (h + 1) * width)
        weights = torch.softmax(q[:, part] @ k[:, part].T / math.sqrt(width), dim=-1)
        heads.append(weights @ v[:, part])
    return dense(torch.cat(heads, dim=1), state, f"{prefix}.{out}")


def dense(x, state, name):
    return x @ state[f"{name}.weight"].double().T + state[f"{name}.bias"].double()


def layer_norm(x, state, name, eps):
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * state[f"{name}.weight"] + state[f"{name}.bias"]


def plain_dino(frame, state):
    pixels = torch.from_numpy(
        normalised(resized(frame, linear, 1), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    projection = state["embeddings.patch_embeddings.projection.weight"].double()
    patches = functional.conv2d(pixels[None], projection, stride=16)[0]
    rows, columns = patches.shape[1:]
    x = patches.flatten(1).T + state["embeddings.patch_embeddings.projection.bias"]
    x = torch.cat([state["embeddings.cls_token"][0].double(), x])
    positions = state["embeddings.position_embeddings"][0].double().numpy()
    grid = positions[1:].reshape(14, 14, -1)
    if (rows, columns) != (14, 14):
        # DINO passes (n + 0.1)/14 as the factor, so samples are 14/(n + 0.1) apart.
        vertical = resample_matrix(14, rows, 14 / (rows + 0.1), cubic, 2)
        horizontal = resample_matrix(14, columns, 14 / (columns + 0.1), cubic, 2)
        grid = (vertical @ grid.transpose(2, 0, 1) @ horizontal.T).transpose(1, 2, 0)
    x = x + torch.from_numpy(np.concatenate([positions[:1], grid.reshape(rows * columns, -1)]))
    for i in range(2):
        y = layer_norm(x, state, f"layers.{i}.layernorm_before", 1e-6)
        x = x + attention(y, state, f"layers.{i}.attention", "o_proj", 2)
        y = layer_norm(x, state, f"layers.{i}.layernorm_after", 1e-6)
        y = functional.gelu(dense(y, state, f"layers.{i}.mlp.fc1"))
        x = x + dense(y, state, f"layers.{i}.mlp.fc2")
    return layer_norm(x, state, "layernorm", 1e-6)[0]


def plain_clip(frame, state):
    image = resized(frame, cubic, 2)
    top, left = (round((side - 224) / 2) for side in image.shape[1:])
    image = image[:, top : top + 224, left : left + 224]
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    pixels = torch.from_numpy(normalised(image, mean, std))
    projection = state["vision_model.embeddings.patch_embedding.weight"].double()
    x = functional.conv2d(pixels[None], projection, stride=32)[0].flatten(1).T
    x = torch.cat([state["vision_model.embeddings.class_embedding"][None].double(), x])
    x = x + state["vision_model.embeddings.position_embedding.weight"]
    x = layer_norm(x, state, "vision_model.pre_layrnorm", 1e-5)
    for i in range(2):
        layer = f"vision_model.encoder.layers.{i}"
        y = layer_norm(x, state, f"{layer}.layer_norm1", 1e-5)
        x = x + attention(y, state, f"{layer}.self_attn", "out_proj", 2)
        y = dense(layer_norm(x, state, f"{layer}.layer_norm2", 1e-5), state, f"{layer}.mlp.fc1")
        x = x + dense(y * torch.sigmoid(1.702 * y), state, f"{layer}.mlp.fc2")
    pooled = layer_norm(x[:1], state, "vision_model.post_layernorm", 1e-5)[0]
    return state["visual_projection.weight"].double() @ pooled


def plain_score(features):
    first, total = features[0], 0.0
    for before, now in itertools.pairwise(features):
        for other in (before, first):
            cosine = float(now @ other) / math.sqrt(float(now @ now) * float(other @ other))
            total += max(0.0, cosine) / 2
    return total / (len(features) - 1)


@pytest.mark.parametrize(("height", "width"), [(240, 331), (256, 256), (300, 230)])
def test_dino_matches_plain_implementation(dino, height, width):
    folder, state = dino
    video = clip_of_noise(3, height, width)
    ours = DinoFeatures(folder, batch_size=2)(video)
    plain = torch.stack([plain_dino(frame, state) for frame in video])
    torch.testing.assert_close(ours.double(), plain, rtol=1e-3, atol=1e-3)
    assert consistency(ours) == pytest.approx(plain_score(plain), abs=1e-4)


@pytest.mark.parametrize(("height", "width"), [(240, 331), (333, 229)])
def test_clip_matches_plain_implementation(clip, height, width):
    folder, state = clip
    video = clip_of_noise(3, height, width)
    ours = ClipFeatures(folder, batch_size=2)(video)
    plain = torch.stack([plain_clip(frame, state) for frame in video])
    torch.testing.assert_close(ours.double(), plain, rtol=1e-3, atol=1e-3)
    assert consistency(ours) == pytest.approx(plain_score(plain), abs=1e-4)


def test_consistency_by_hand():
    half = math.sqrt(0.5)
    features = torch.tensor([[1.0, 0.0], [2.0, 2.0], [0.0, 3.0], [-1.0, 0.0]])
    # frame 1: previous ½√2, first ½√2; frame 2: previous ½√2, first 0; frame 3: 0, and −1 clamped to 0
    assert consistency(features) == pytest.approx((half + half / 2 + 0) / 3, abs=1e-6)
    assert consistency(features[:1].repeat(4, 1)) == pytest.approx(1.0)
    with pytest.raises(VideoJamError, match="two frames"):
        consistency(features[:1])


def test_missing_and_wrong_weights_are_told(tmp_path, dino):
    with pytest.raises(VideoJamError, match="local copy"):
        DinoFeatures(tmp_path / "nowhere")
    network = CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES, projection_dim=16, hidden_act="gelu"))
    network.save_pretrained(tmp_path / "gelu")
    with pytest.raises(VideoJamError, match="QuickGELU"):
        ClipFeatures(tmp_path / "gelu")
    with pytest.raises(VideoJamError):
        ClipFeatures(dino[0])
