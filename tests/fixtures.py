"""Fixtures that all rooms share: tiny pipelines, their joint models, processes that start at once."""

from __future__ import annotations

import pytest
import tiny_pipelines as tiny

import warm


@pytest.fixture(scope="session")
def warm_python(tmp_path_factory):
    """Runs code in processes that have imported diffusers and nothing of this package."""
    python = warm.WarmPython(tmp_path_factory.mktemp("warm"))
    yield python
    python.close()


@pytest.fixture(scope="session")
def tiny_wan(tmp_path_factory):
    """A tiny random text-to-video WanPipeline folder."""
    return tiny.write_tiny_wan(tmp_path_factory.mktemp("tiny") / "wan")


@pytest.fixture(scope="session")
def tiny_wan_i2v(tmp_path_factory):
    """A tiny random image-to-video Wan pipeline folder."""
    return tiny.write_tiny_wan(tmp_path_factory.mktemp("tiny") / "wan-i2v", image=True)


@pytest.fixture(scope="session")
def tiny_wan_per_token(tmp_path_factory):
    """A tiny random Wan pipeline folder with a timestep for each token, as TI2V-5B."""
    return tiny.write_tiny_wan(tmp_path_factory.mktemp("tiny") / "wan-per-token", expand_timesteps=True)


@pytest.fixture(scope="session")
def tiny_wan_experts(tmp_path_factory):
    """A tiny random Wan pipeline folder with two experts and UniPC, as A14B."""
    folder = tmp_path_factory.mktemp("tiny") / "wan-experts"
    return tiny.write_tiny_wan(folder, experts=True, unipc=True)


KINDS = ("t2v", "i2v", "per_token", "experts")


@pytest.fixture(scope="session")
def tiny_bases(tiny_wan, tiny_wan_i2v, tiny_wan_per_token, tiny_wan_experts):
    """Base folders by kind."""
    return dict(zip(KINDS, (tiny_wan, tiny_wan_i2v, tiny_wan_per_token, tiny_wan_experts), strict=True))


@pytest.fixture(scope="session")
def tiny_joints(tiny_bases, tmp_path_factory):
    """Freshly converted joint folders by kind."""
    from videojam.joint.convert import convert

    out = tmp_path_factory.mktemp("joint")
    return {kind: convert(base, out / kind) for kind, base in tiny_bases.items()}


@pytest.fixture
def trained_joint(tiny_joints):
    """A loaded tiny joint T2V model whose motion weights are random instead of zero."""
    from videojam.models.load import load_model

    model = load_model(tiny_joints["t2v"])
    tiny.randomise_projections(model.pipeline)
    return model
