"""`videojam export`: what a run or a model is given away as, read as its users read it."""

from __future__ import annotations

import re
import shutil

import huggingface_hub
import pytest
import torch
import yaml
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file
from tiny_pipelines import write_tiny_wan
from typer.testing import CliRunner

from tiny_families import write_tiny_mochi
from videojam.cli import app
from videojam.errors import VideoJamError
from videojam.joint.convert import convert
from videojam.joint.widen import widen_transformer
from videojam.models.load import load_model
from videojam.models.record import load_record
from videojam.sampling.verify import verify
from videojam.training.checkpoint import checkpoints
from videojam.training.outcome.export import export
from videojam.training.outcome.settings import ExportSettings

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
SHORT = {"prompts": ("a red ball moves left",), "num_steps": 1}


def error_of(*args, **settings) -> VideoJamError:
    with pytest.raises(VideoJamError) as caught:
        export(*args, ExportSettings(**settings))
    return caught.value


def front_and_text(folder):
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), text


@pytest.fixture(scope="module")
def exported(lora_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / "ball-mover"
    export(lora_run, out, ExportSettings(**SHORT))
    return out


def test_a_run_becomes_a_stock_folder_that_is_the_model_of_its_end(exported, lora_run):
    assert verify(exported).stored == "equal"
    mine, its = load_file(exported / WEIGHTS), load_file(lora_run / "model" / WEIGHTS)
    assert mine.keys() == its.keys()
    assert all(torch.equal(mine[name], its[name]) for name in its)
    assert load_record(exported).num_train_steps == 4


def test_a_runs_folder_in_place_of_its_model_is_named(lora_run):
    for call in (verify, load_model):
        with pytest.raises(VideoJamError) as caught:
            call(lora_run)
        assert caught.value.fix == f"It is a training run: give its model, {lora_run / 'model'}."


def test_the_card_has_recipe_data_curve_samples_and_licence(exported):
    front, text = front_and_text(exported)
    assert front["pipeline_tag"] == "text-to-video"
    assert front["license"] == "other"
    assert "does not state its licence" in text
    assert "6 clips for training, 2 held out, 0 left out" in text
    assert "9 frames of 32×32 px" in text
    assert "| appearance, t = 0.3 |" in text
    linked = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert linked == ["samples/000.webp", "curve.png"]
    for name in linked:
        Image.open(exported / name).verify()
    clip = Image.open(exported / "samples/000.webp")
    assert (clip.n_frames, clip.size) == (9, (64, 32))  # video and motion side by side
    recipe = yaml.safe_load((exported / "recipe.yaml").read_text())
    assert recipe["lora"]["rank"] == 2


def test_nothing_in_an_export_names_a_folder_of_this_machine(exported, lora_run, tmp_path):
    here = str(lora_run.parents[2])
    for path in exported.rglob("*"):
        if path.is_file():
            assert here.encode() not in path.read_bytes(), path
    export(lora_run, tmp_path / "file", ExportSettings(single_file=True))
    assert all(here.encode() not in path.read_bytes() for path in (tmp_path / "file").iterdir())


def test_the_licence_is_that_of_the_base_unless_it_is_given(tiny_wan, tmp_path):
    base = shutil.copytree(tiny_wan, tmp_path / "base")
    (base / "README.md").write_text("---\nlicense: apache-2.0\ntags: [x]\n---\n# The base\n")
    joint = convert(base, tmp_path / "joint")
    (joint / "README.md").unlink()  # found in the base's folder, which the record names
    export(joint, tmp_path / "a", ExportSettings(single_file=True))
    front, text = front_and_text(tmp_path / "a")
    assert front["license"] == "apache-2.0"
    assert "The base" not in text
    export(joint, tmp_path / "b", ExportSettings(license="mit"))
    assert front_and_text(tmp_path / "b")[0]["license"] == "mit"
    assert (
        verify(tmp_path / "b").stored == "equal"
    )  # a converted model has no fingerprint of its own: it gets one


def test_an_unfinished_run_is_exported_from_its_newest_checkpoint(lora_run, exported, tmp_path):
    run = shutil.copytree(lora_run, tmp_path / "run")
    shutil.rmtree(run / "model")
    export(run, tmp_path / "again")
    mine, its = load_file(tmp_path / "again" / WEIGHTS), load_file(exported / WEIGHTS)
    assert all(
        torch.equal(mine[name], its[name]) for name in its
    )  # the last step's checkpoint: the same average
    shutil.rmtree(checkpoints(run)[0])
    export(run, tmp_path / "early")
    assert load_record(tmp_path / "early").num_train_steps == 2
    shutil.rmtree(run / "checkpoints")
    error = error_of(run, tmp_path / "none")
    assert error.found == "neither"
    assert not (tmp_path / "none").exists()


def test_the_weights_of_the_last_step_in_place_of_the_average(lora_run, exported, tmp_path):
    export(lora_run, tmp_path / "last", ExportSettings(weights="last"))
    (stored,) = checkpoints(lora_run)[0].glob("*.safetensors")
    trained = load_file(stored)["parameters/proj_out.bias"]
    assert torch.equal(load_file(tmp_path / "last" / WEIGHTS)["proj_out.bias"], trained.to(torch.bfloat16))
    assert not torch.equal(load_file(exported / WEIGHTS)["proj_out.bias"], trained.to(torch.bfloat16))


def test_adapters_are_merged_into_a_plain_base_and_into_a_joint_one(lora_run, exported, tiny_wan, tmp_path):
    its = load_file(exported / WEIGHTS)
    for base, is_file in ((tiny_wan, False), (convert(tiny_wan, tmp_path / "joint"), True)):
        out = tmp_path / f"merged-{base.name}"
        export(base, out, ExportSettings(lora=lora_run / "lora", single_file=is_file))
        if is_file:
            bias = load_file(out / f"{out.name}.safetensors")["head.head.bias"]
            assert torch.equal(bias, its["proj_out.bias"])
            continue
        mine = load_file(out / WEIGHTS)
        assert all(torch.equal(mine[name], its[name]) for name in its)
        assert load_record(out).num_train_steps == 4


def test_peft_loads_the_adapters_of_a_run(lora_run, exported, tiny_wan):
    """W + (alpha / rank)·B·A, from files of the names that PEFT looks for."""
    joint = widen_transformer(load_model(tiny_wan).pipeline.transformer)
    before = joint.blocks[0].attn1.to_q.weight.detach().clone()
    merged = PeftModel.from_pretrained(joint, lora_run / "lora").merge_and_unload()
    layers = load_file(lora_run / "lora/pytorch_lora_weights.safetensors")
    a, b = (layers[f"transformer.blocks.0.attn1.to_q.lora_{name}.weight"] for name in "AB")
    torch.testing.assert_close(merged.blocks[0].attn1.to_q.weight, before + 2 * b @ a)
    assert not torch.equal(before, merged.blocks[0].attn1.to_q.weight)


def test_a_failed_proof_leaves_nothing_behind(lora_run, tmp_path):
    run = shutil.copytree(lora_run, tmp_path / "run")
    other = load_model(run / "model").pipeline.transformer
    with torch.no_grad():
        other.proj_out.weight.mul_(3)
    other.save_pretrained(run / "model" / "transformer")
    error = error_of(run, tmp_path / "out")
    assert "deviations" in error.found
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"weights": "last"}, "a model, which holds one set of weights"),
        ({"lora": "no-such-folder"}, "no such folder"),
        ({"lora": "adapters"}, "adapters without it, and a base that is not joint"),
    ],
)
def test_settings_that_do_not_fit_a_model_are_refused(tiny_wan, tmp_path, monkeypatch, settings, found):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adapters").mkdir()
    assert error_of(tiny_wan, tmp_path / "out", **settings).found == found
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"num_steps": 3}, "num_steps only with prompts"),
        ({"save_dtype": "fp32"}, "save_dtype only with lora"),
        ({"expert": "transformer"}, "expert only with lora"),
        ({"lora": "x", "weights": "last"}, "not both"),
        ({"seed": -1}, "seed"),
        ({"license": ""}, "license"),
        ({"prompts": ("a ball", " ")}, "prompts with words"),
        ({"prompt": "x"}, "prompt"),
    ],
)
def test_settings_that_nothing_would_read_are_refused(settings, word):
    with pytest.raises(ValueError, match=word):
        ExportSettings(**settings)


def test_an_export_into_its_source_and_samples_of_an_image_model_are_refused(tiny_joints, lora_run):
    for source in (tiny_joints["t2v"], lora_run):
        error = error_of(source, source / "inside")
        assert error.found.startswith("one in it")
        assert not (source / "inside").exists()
    out = lora_run.parent / "none"
    assert error_of(tiny_joints["i2v"], out, prompts=("a ball",)).found == "prompts"
    assert not out.exists()


def test_adapters_of_experts_need_the_name_of_theirs(tiny_joints, lora_run, tmp_path):
    error = error_of(tiny_joints["experts"], tmp_path / "out", lora=lora_run / "lora")
    assert "transformer, transformer_2" in error.expected


def test_a_class_without_known_names_is_refused_for_a_single_file(tmp_path):
    joint = convert(write_tiny_mochi(tmp_path / "mochi"), tmp_path / "joint")
    error = error_of(joint, tmp_path / "out", single_file=True)
    assert "WanTransformer3DModel" in error.expected
    assert error.found == "MochiTransformer3DModel"


def test_experts_become_a_file_each(tmp_path):
    joint = convert(write_tiny_wan(tmp_path / "wan", experts=True), tmp_path / "joint")
    export(joint, tmp_path / "moe", ExportSettings(single_file=True))
    files = {path.name for path in (tmp_path / "moe").glob("*.safetensors")}
    assert files == {"moe-transformer.safetensors", "moe-transformer_2.safetensors"}


def test_a_single_file_gets_the_name_that_was_asked_for(tiny_joints, tmp_path):
    out = tmp_path / "new" / "mover.safetensors"
    done = CliRunner().invoke(
        app, ["export", str(tiny_joints["t2v"]), "--single-file", "--out", str(out), "--device", "cpu"]
    )
    assert (done.exit_code, done.stdout.strip()) == (0, str(out)), done.output
    assert out.is_file()
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    export(tiny_joints["t2v"], tmp_path / "mover", ExportSettings(single_file=True))
    assert out.read_bytes() == (tmp_path / "mover/mover.safetensors").read_bytes()
    bare = export(tiny_joints["t2v"], tmp_path / ".safetensors", ExportSettings(single_file=True))
    assert bare.read_bytes() == out.read_bytes()
    assert out.stat().st_mode == (tmp_path / "mover/mover.safetensors").stat().st_mode
    again = error_of(tiny_joints["t2v"], out, single_file=True)
    assert again.found == "a file of that name"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "as a whole pipeline is written"),
        (["--single-file", "--prompt", "a ball"], "in which the card"),
        (["--single-file", "--license", "mit"], "in which the card"),
        (["--single-file", "--push", "me/mine"], "in which the card"),
    ],
)
def test_a_files_name_for_what_needs_a_folder_is_refused_before_anything_is_read(tmp_path, flags, expected):
    out = tmp_path / "a.SafeTensors"
    done = CliRunner().invoke(app, ["export", str(tmp_path / "no-such-model"), "--out", str(out), *flags])
    assert expected in done.exception.expected
    assert done.exception.found == "that of a file, a.SafeTensors"
    assert list(tmp_path.iterdir()) == []


def test_two_experts_need_a_folder(tiny_joints, tmp_path):
    error = error_of(tiny_joints["experts"], tmp_path / "a.safetensors", single_file=True)
    assert "transformer and transformer_2" in error.expected
    assert list(tmp_path.iterdir()) == []


# --- the command, and the Hub ---


def test_the_command_says_what_was_written_and_refuses_private_without_push(tiny_joints, tmp_path):
    done = CliRunner().invoke(
        app, ["export", str(tiny_joints["t2v"]), "--out", str(tmp_path / "m"), "--device", "cpu"]
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "m")
    again = CliRunner().invoke(app, ["export", "x", "--out", str(tmp_path / "n"), "--private"])
    assert again.exception.found == "--private"


@pytest.mark.parametrize(
    ("repo", "token", "found"),
    [
        ("no-owner", "hf_x", "'no-owner'"),
        ("a/b/c", "hf_x", "'a/b/c'"),
        ("owner/na me", "hf_x", "'owner/na me'"),
        ("owner/name", "", "none, and no login"),
        ("owner/name", "hf_x", "OfflineModeIsEnabled"),
    ],
)
def test_a_push_that_can_not_work_is_refused_before_anything_is_written(
    tiny_joints, tmp_path, monkeypatch, repo, token, found
):
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    words = [
        "export",
        str(tiny_joints["t2v"]),
        "--out",
        str(tmp_path / "m"),
        "--push",
        repo,
        "--device",
        "cpu",
    ]
    done = CliRunner().invoke(app, words)
    assert found in done.exception.found
    assert not (tmp_path / "m").exists()


def test_a_push_uploads_the_folder_and_a_refused_one_keeps_it(tiny_joints, tmp_path, monkeypatch):
    calls = []

    class Api:
        def whoami(self):
            return {"name": "owner"}

        def create_repo(self, repo, **how):
            calls.append((repo, how))
            return f"https://huggingface.co/{repo}"

        def upload_folder(self, *, folder_path, repo_id, commit_message):
            if repo_id.endswith("full"):
                raise OSError("403 Forbidden: no room left")
            calls.append((repo_id, sorted(path.name for path in folder_path.iterdir())))

    monkeypatch.setenv("HF_TOKEN", "hf_x")
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)

    def command(name, repo):
        words = [
            "export",
            str(tiny_joints["t2v"]),
            "--out",
            str(tmp_path / name),
            "--single-file",
            "--push",
            repo,
        ]
        return CliRunner().invoke(app, [*words, "--private", "--device", "cpu"])

    done = command("m", "owner/name")
    assert done.exit_code == 0, done.output
    assert calls[0] == ("owner/name", {"private": True, "exist_ok": True})
    assert calls[1] == ("owner/name", ["README.md", "m.safetensors"])
    refused = command("n", "owner/full")
    assert "no room left" in refused.exception.found
    assert f"hf upload owner/full {tmp_path / 'n'}" in refused.exception.fix
    assert sorted(path.name for path in (tmp_path / "n").iterdir()) == ["README.md", "n.safetensors"]
