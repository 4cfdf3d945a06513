"""The verbs as a user types them, and the plots."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from videojam import cli
from videojam.errors import VideoJamError
from videojam.evaluation.arm_colours import LIGHT
from videojam.evaluation.probes.plot import plot_probes

DOCS = Path(__file__).parents[3] / "docs" / "evaluation.md"
runner = CliRunner()


def documented(verb: str) -> list[str]:
    """The command of docs/evaluation.md for a verb, split into words."""
    (line,) = re.findall(rf"^videojam (probe {verb} .*(?:\\\n.*)*)$", DOCS.read_text(), re.MULTILINE)
    return line.replace("\\\n", " ").split()


def run(words: list[str], *more: str):
    return runner.invoke(cli.app, [*words, *more], catch_exceptions=False)


SMALL = ["--frames", "9", "--height", "32", "--width", "32"]


@pytest.fixture(scope="module")
def probed(tiny_wan, tiny_joints, tmp_path_factory):
    """The commands of the docs, run on tiny random models and few clips in place of the shipped ones."""
    folder = tmp_path_factory.mktemp("probes")
    models = {"base": str(tiny_wan), "joint": str(tiny_joints["t2v"])}
    outputs = {}
    for verb, few in (("permutation", ["--t", "0.3,0.8"]), ("noising", ["--t", "0,0.5,1", "--steps", "3"])):
        words = documented(verb)
        assert words[2].startswith("tiny:")
        assert words[3].startswith("world:")
        for name, model in models.items():
            out = folder / f"{verb}-{name}.json"
            rest = _without_out(words[4:])
            command = [*words[:2], model, "world:2", *rest, *SMALL, *few, "--out", str(out)]
            outputs[out.stem] = run(command)
    return folder, outputs


def _without_out(words: list[str]) -> list[str]:
    if "--out" not in words:
        return words
    i = words.index("--out")
    return words[:i] + words[i + 2 :]


@pytest.mark.parametrize("stem", ["permutation-base", "permutation-joint", "noising-base", "noising-joint"])
def test_the_documented_commands_run(probed, stem):
    folder, outputs = probed
    assert outputs[stem].exit_code == 0, outputs[stem].output
    result = json.loads((folder / f"{stem}.json").read_text())
    assert result["complete"]
    assert result["num_clips"] == 2
    assert (folder / f"{stem}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    lines = outputs[stem].stdout.splitlines()
    assert len(lines) == len(result["summary"]) + 1
    assert str(folder / f"{stem}.json") == lines[-1]


def test_several_models_on_one_plot(probed):
    folder, _ = probed
    words = documented("plot")
    files = [str(folder / f"permutation-{name}.json") for name in ("base", "joint")]
    done = run(
        [*words[:2], *files, "--out", str(folder / "both.svg")], "--label", "plain", "--label", "joint one"
    )
    assert done.exit_code == 0, done.output
    drawn = (folder / "both.svg").read_text()
    assert "<svg" in drawn
    colours = set(re.findall(r"stroke: (#[0-9a-f]{6})", drawn))
    assert set(LIGHT[:2]) <= colours  # a colour for each model
    plain = folder / "one.svg"
    plot_probes(files[:1], plain)
    assert LIGHT[1] not in plain.read_text()
    assert plain.read_text().count('<g id="axes_') == 2  # a base has one loss, and its gap
    assert drawn.count('<g id="axes_') == 4


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda probe: {**probe, "complete": False}, "unfinished"),
        (lambda probe: {**probe, "probe": "noising"}, "one of noising"),
        (lambda probe: {"clips": 3}, "something else"),
        (lambda probe: {**probe, "clips": [{"key": [1]}]}, "a damaged one"),
        (lambda probe: {**probe, "summary": [{"t": 0.5}]}, "lacks lines or names"),
        (lambda probe: {**probe, "model": {}}, "something else"),
    ],
)
def test_what_cannot_be_drawn_together_is_named(probed, tmp_path, change, fault):
    good = probed[0] / "permutation-base.json"
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(change(json.loads(good.read_text()))))
    with pytest.raises(VideoJamError, match=fault):
        plot_probes([good, bad], tmp_path / "a.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.json"]


def test_wrong_plots(probed, tmp_path):
    good = probed[0] / "permutation-base.json"
    with pytest.raises(VideoJamError, match="no-such"):
        plot_probes([tmp_path / "no-such.json"], tmp_path / "a.png")
    with pytest.raises(VideoJamError, match=r"\.svg"):
        plot_probes([good], tmp_path / "a.doc")
    with pytest.raises(VideoJamError, match="labels"):
        plot_probes([good], tmp_path / "a.png", ["one", "two"])


def test_without_matplotlib_the_numbers_are_there_and_the_extra_is_named(
    probed, tiny_wan, tmp_path, monkeypatch
):
    monkeypatch.setattr("videojam.cli.probe.find_spec", lambda name: None)
    out = tmp_path / "a.json"
    done = run(["probe", "permutation", str(tiny_wan), "world:1", "--t", "0.5", "--out", str(out), *SMALL])
    assert done.exit_code == 0
    assert "videojam[plots]" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(VideoJamError, match=r"videojam\[plots\]"):
        plot_probes([out], tmp_path / "a.png")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["MODEL", "world:none"], "world:64"),
        (["MODEL", "no-such-folder"], "no-such-folder"),
        (["MODEL", "world:1", "--t", "0.5,1.5"], "times"),
        (["MODEL", "world:1", "--t", "half"], "0.2,0.6,0.8"),
        (["MODEL", "world:1", "--texture=-1"], "texture"),
        (["MODEL", "world:1", "--height", "40"], "multiple of 8"),
        (["tiny:none", "world:1"], "tiny:base"),
        (["MODEL", "no-such-folder", "--texture", "2"], "--texture"),
        (["MODEL", "world:1", "--out", "a.PNG"], "a.json"),
    ],
)
def test_what_users_get_wrong_is_told(tiny_wan, tmp_path, monkeypatch, capsys, words, named):
    command = [
        "videojam",
        "probe",
        "permutation",
        *words,
        "--frames",
        "9",
        "--width",
        "32",
        "--device",
        "cpu",
    ]
    command += [] if "--height" in words else ["--height", "32"]
    command = [str(tiny_wan) if word == "MODEL" else word for word in command]
    command += [] if "--out" in words else ["--out", str(tmp_path / "a.json")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stopped:
        cli.run()
    assert stopped.value.code == 2
    assert named in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_clip_left_out_makes_the_exit_code_1(tiny_wan, tmp_path):
    import torch

    from videojam.motion.video import write_video

    clips = tmp_path / "clips"
    write_video(clips / "good.mp4", torch.full((9, 3, 32, 32), 90, dtype=torch.uint8), 16.0)
    (clips / "good.txt").write_text("a ball")
    (clips / "bad.mp4").write_bytes(b"no video")
    (clips / "bad.txt").write_text("a ball")
    command = ["probe", "permutation", str(tiny_wan), str(clips), "--t", "0.5", "--no-plot", *SMALL]
    done = run([*command, "--skip", "--out", str(tmp_path / "a.json")])
    assert done.exit_code == 1
    assert "bad.mp4" in done.stderr
    assert not (tmp_path / "a.png").exists()
