"""Text encoders apart from their pipeline: a family samples what it samples with them in it, bit for bit."""

from __future__ import annotations

import shutil

import pytest
import torch

from videojam.models.load import load_model, load_without_texts
from videojam.models.texts_apart import TextsApart
from videojam.sampling.verify import fingerprint, fingerprint_texts


@pytest.mark.parametrize("case", ["wan", "hunyuan-video", "ltx-i2v"], indirect=True)
def test_latents_are_those_of_the_whole_pipeline_in_float32(case, tmp_path, monkeypatch):
    """The encoders' files are bf16, as published ones are; apart, they stay bf16 in memory."""
    folder = shutil.copytree(case.joint, tmp_path / "joint")
    whole = load_model(folder).pipeline
    for name in ("text_encoder", "text_encoder_2"):
        if getattr(whole, name, None) is not None:
            getattr(whole, name).to(torch.bfloat16).save_pretrained(folder / name)
    texts = fingerprint_texts(folder)
    model = load_without_texts(folder)
    texts.stand_in(model.pipeline)
    with monkeypatch.context() as patched:
        patched.setattr(TextsApart, "_loaded", lambda self: pytest.fail("an encoder was loaded again"))
        found = fingerprint(model)
    assert torch.equal(found, fingerprint(load_model(folder)))


def test_a_text_that_was_not_encoded_is_encoded_when_it_is_asked(tiny_wan):
    known, new = TextsApart(tiny_wan), TextsApart(tiny_wan)
    known.encode(["a red ball"], 16)
    model = load_without_texts(tiny_wan)
    new.stand_in(model.pipeline)
    embeds = model.family.encode_prompts(model.pipeline, ["a red ball"], 16)["encoder_hidden_states"]
    assert new.known.keys() == known.known.keys()
    whole = load_model(tiny_wan)
    exact = whole.family.encode_prompts(whole.pipeline, ["a red ball"], 16)["encoder_hidden_states"]
    assert torch.equal(embeds, exact)


def test_outputs_are_kept_in_a_file(tiny_wan, tmp_path):
    texts, read = TextsApart(tiny_wan), TextsApart(tiny_wan)
    texts.encode(["a red ball", ""], 16)
    first = next(iter(texts.known.values()))
    first["hidden_states.0"] = first[
        "last_hidden_state"
    ]  # one tensor under two names, as some encoders return
    texts.save(tmp_path / "texts.safetensors")
    read.read(tmp_path / "texts.safetensors")
    assert len(read.known) == 2
    for key, output in texts.known.items():
        assert all(torch.equal(read.known[key][name], tensor) for name, tensor in output.items())
    (tmp_path / "cut.safetensors").write_bytes(b"{")
    read.read(tmp_path / "cut.safetensors")
    assert read.known == {}
