"""The command line: what a user types, sees, and what scripts read from its exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner

from videojam import cli
from videojam.errors import VideoJamError
from videojam.families import FAMILIES

runner = CliRunner()


def run_cli(monkeypatch, *args: str) -> int:
    """Run the entry point as the console script does and return the exit code."""
    monkeypatch.setattr(sys, "argv", ["videojam", *args])
    with pytest.raises(SystemExit) as stopped:
        cli.run()
    return stopped.value.code


def test_help_names_every_verb():
    shown = runner.invoke(cli.app, ["--help"]).output
    for verb in ("demo", "convert", "families", "inspect", "init", "train", "generate", "verify", "world"):
        assert f" {verb} " in shown
    shown = runner.invoke(cli.app, ["world", "--help"]).output
    assert " render " in shown
    assert " score " in shown


def verbs(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every verb that does something, with the words before it."""
    children = getattr(command, "commands", {})
    for name, child in children.items():
        yield from verbs(child, (*path, name))
    if not children:
        yield path


@pytest.mark.parametrize("verb", [*verbs(get_command(cli.app))], ids=" ".join)
def test_help_fits_80_columns_and_names_what_each_flag_takes(verb):
    shown = runner.invoke(cli.app, [*verb, "--help"], env={"COLUMNS": "80"}, color=False).output
    assert max(map(len, shown.splitlines())) <= 80
    options = shown.partition("Options:")[2]
    assert not re.search(r"…$|<(str|int|float|path|list)\b", options, re.IGNORECASE | re.MULTILINE)
    assert not re.search(r"if\s+not\s+given|by\s+default", options)


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, object]]:
    """Every verb's name and command."""
    children = getattr(command, "commands", {})
    for name, child in children.items():
        yield from commands(child, (*path, name))
    if not children:
        yield " ".join(path), command


def test_every_flag_that_takes_a_value_states_its_default():
    silent = [
        f"{verb} {option.opts[0]}"
        for verb, command in commands(get_command(cli.app))
        for option in command.params
        if option.param_type_name == "option" and not (option.is_flag or option.required)
        if option.default is None and "(default: " not in (option.help or "")
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("verb", "flags"),
    [
        (["demo"], ["--out"]),
        (["convert"], ["--output-init", "--revision", "--style", "--scale", "--estimator", "--padding"]),
        (["train"], ["--set"]),
        (
            ["generate"],
            ["--out", "--seed", "--steps", "--frames", "--height", "--width", "--guidance", "--w-text"],
        ),
        (
            ["generate"],
            ["--w-motion", "--window", "--motion-on", "--offload", "--dtype", "--device", "--schedule"],
        ),
        (["world", "render"], ["--clips", "--seed", "--texture", "--kind"]),
        (["world", "score"], ["--json"]),
        (["families"], ["--json"]),
        (["inspect"], ["--json", "--lora-rank", "--revision"]),
        (["init"], ["--vae", "--text-encoder", "--seed", "--dtype", "--set"]),
    ],
)
def test_flags_that_users_script_exist(verb, flags):
    shown = runner.invoke(cli.app, [*verb, "--help"], env={"COLUMNS": "200"}, color=False).output
    assert [flag for flag in flags if flag not in shown] == []


@pytest.mark.parametrize(
    "words",
    [["demo"], ["app"], ["families"], ["bench", "run", "tiny:base", "--out", "b"]],
    ids=lambda w: w[0],
)
def test_the_first_line_comes_before_torch(words):
    """Importing torch takes seconds, in which a user would see nothing."""
    code = (
        "import sys\n"
        "from videojam.cli import app, common\n"
        "common.GPU_FILES = ('/dev/no-such-gpu',)\n"
        "class NotYet:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'torch':\n"
        "            sys.exit(7)\n"
        "sys.meta_path.insert(0, NotYet())\n"
        f"app({words!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_import_and_help_do_not_load_torch():
    code = (
        "import sys, videojam\n"
        "assert 'torch' not in sys.modules, 'import videojam'\n"
        "from typer.testing import CliRunner\n"
        "from videojam.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "assert not {'pydantic', 'numpy'} & set(sys.modules)\n"
        "assert CliRunner().invoke(app, ['generate', '--help']).exit_code == 0\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'scipy', 'av', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_error_is_told_without_a_traceback_and_exits_with_2(monkeypatch, capsys, tmp_path):
    missing = tmp_path / "no-such-model"
    assert run_cli(monkeypatch, "convert", str(missing), str(tmp_path / "out")) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    for word in ("expected", "found", "where", "do", str(missing)):
        assert word in shown.err
    assert not (tmp_path / "out").exists()


def test_a_message_with_square_brackets_arrives_whole(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "300")
    cli.print_error(VideoJamError(expected="[B, C]", found="[/red]", where="x[0]", fix="see [bold]"))
    shown = capsys.readouterr().err
    for text in ("[B, C]", "[/red]", "x[0]", "see [bold]"):
        assert text in shown


def test_a_flag_of_a_wrong_value_names_the_field(monkeypatch, capsys, tmp_path):
    assert run_cli(monkeypatch, "convert", "base", str(tmp_path / "out"), "--scale", "-1") == 2
    shown = capsys.readouterr().err
    assert "scale" in shown
    assert "-1" in shown
    assert run_cli(monkeypatch, "world", "render", str(tmp_path), "--clips", "1", "--kind", "comet") == 2
    assert "comet" in capsys.readouterr().err


def test_interrupting_a_verb_exits_with_130(monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("videojam.joint.convert.convert", interrupt)
    assert run_cli(monkeypatch, "convert", "base", "out") == 130


def test_convert_then_generate_then_verify(monkeypatch, capsys, tiny_wan, tmp_path):
    joint, clips = tmp_path / "joint", tmp_path / "clips"
    assert run_cli(monkeypatch, "convert", str(tiny_wan), str(joint), "--style", "saturation") == 0
    record = json.loads((joint / "videojam.json").read_text())
    assert record["motion"]["style"] == "saturation"
    small = ["--steps", "2", "--frames", "5", "--height", "32", "--width", "32", "--seed", "7"]
    prompts = ["a red ball", "a blue wheel"]
    capsys.readouterr()
    assert run_cli(monkeypatch, "generate", str(joint), *prompts, "--out", str(clips), *small) == 0
    manifest_path = capsys.readouterr().out.strip().splitlines()[-1]
    assert manifest_path == str(clips / "manifest.json")
    manifest = json.loads((clips / "manifest.json").read_text())
    assert [(clip["prompt"], clip["seed"]) for clip in manifest["clips"]] == [
        ("a red ball", 7),
        ("a blue wheel", 8),
    ]
    assert manifest["guidance"]["mode"] == "inner"
    assert (manifest["guidance"]["w_text"], manifest["guidance"]["w_motion"]) == (5.0, 3.0)
    for clip in manifest["clips"]:
        for name in clip["files"].values():
            assert (clips / name).stat().st_size > 0
    # converted, never trained: nothing is stored to compare with
    assert run_cli(monkeypatch, "verify", str(joint)) == 3


def test_generate_refuses_motion_guidance_of_a_base(monkeypatch, capsys, tiny_wan, tmp_path):
    out = str(tmp_path / "clips")
    assert run_cli(monkeypatch, "generate", str(tiny_wan), "a ball", "--out", out, "--guidance", "inner") == 2
    assert "base model" in capsys.readouterr().err


def test_generate_reads_the_window(monkeypatch, capsys, tiny_wan, tmp_path):
    args = ("generate", str(tiny_wan), "a ball", "--out", str(tmp_path), "--window", "sometimes")
    assert run_cli(monkeypatch, *args) == 2
    assert "sometimes" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there(monkeypatch, capsys, tiny_wan, tmp_path):
    args = ("generate", str(tiny_wan), "a ball", "--out", str(tmp_path), "--device", "cuda")
    assert run_cli(monkeypatch, *args) == 2
    assert "--device cuda" in capsys.readouterr().err


def test_world_render_then_score(monkeypatch, capsys, tmp_path):
    out = tmp_path / "clips"
    assert (
        run_cli(monkeypatch, "world", "render", str(out), "--clips", "3", "--seed", "5", "--kind", "walker")
        == 0
    )
    assert sorted(path.name for path in out.glob("00002.*")) == [
        "00002.flow.safetensors",
        "00002.mp4",
        "00002.txt",
    ]
    capsys.readouterr()
    assert run_cli(monkeypatch, "world", "score", str(out), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["num_scored"], report["coherent"], list(report["kinds"])) == (3, 1.0, ["walker"])
    assert run_cli(monkeypatch, "world", "score", str(out)) == 0
    assert "coherent 100.0%" in capsys.readouterr().out
    (out / "00001.txt").unlink()
    assert run_cli(monkeypatch, "world", "score", str(out)) == 1
    shown = capsys.readouterr()
    assert "n = 2" in shown.out
    assert "00001" in shown.err


def test_train_lists_its_keys_and_prints_a_recipe(monkeypatch, capsys, tmp_path):
    assert run_cli(monkeypatch, "train", "--fields") == 0
    fields = capsys.readouterr().out
    assert "\n  learning_rate: 5.0e-06\n" in fields
    assert "[constant | cosine | linear]" in fields
    assert max(map(len, fields.splitlines())) <= 80
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "base: tiny:base\nout: run\nnum_steps: 3\n"
        "data: {source: {kind: folder, path: clips, num_frames: 25, height: 64, width: 64, fps: 12}}\n"
    )
    assert (
        run_cli(monkeypatch, "train", str(recipe), "--print-config", "--set", "objective.motion_weight=0.2")
        == 0
    )
    shown = capsys.readouterr().out
    assert "motion_weight: 0.2" in shown
    assert "motion_dropout: 0.2" in shown
    assert run_cli(monkeypatch, "train", str(recipe), "--set", "optimizer.learning_rat=1") == 2
    assert "learning_rate" in capsys.readouterr().err


def test_families_lists_every_registered_class():
    rows = json.loads(runner.invoke(cli.app, ["families", "--json"]).stdout)
    assert {row["transformer_class"] for row in rows} == set(FAMILIES)
    wan = next(row for row in rows if row["transformer_class"] == "WanTransformer3DModel")
    assert (wan["layout"], wan["supported"]) == ("c_inner", "convert, train, sample, also from a first frame")
    mochi = next(row for row in rows if row["transformer_class"] == "MochiTransformer3DModel")
    assert mochi["supported"] == "convert, train, sample"
    latte = next(row for row in rows if row["transformer_class"] == "LatteTransformer3DModel")
    assert latte["supported"] == "convert"
    shown = runner.invoke(cli.app, ["families"]).output
    assert [name for name in FAMILIES if name not in shown] == []
