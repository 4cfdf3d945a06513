"""What every verb shares: the first line, stopping, running out of memory, progress in logs."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
import typer
from rich.console import Console
from typer.testing import CliRunner

import videojam
from videojam.cli import app, common, run
from videojam.cli.common import named_folder, named_path, seed_number
from videojam.cli.progress import ProgressDisplay, duration
from videojam.errors import VideoJamError
from videojam.out_of_memory import memory_explained

SLEEPER = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
    "from videojam import cli\n"
    "from videojam.cli.common import say, stoppable\n"
    "@cli.app.command()\n"
    "def sleeper():\n"
    "    with stoppable(lambda: 'Go on with: videojam sleeper'):\n"
    "        say('ready')\n"
    "        time.sleep(60)\n"
    "@cli.app.command()\n"
    "def plain():\n"
    "    say('ready')\n"
    "    time.sleep(60)\n"
    "cli.run()\n"
)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    ("verb", "said"), [("sleeper", "Stopped. Go on with: videojam sleeper"), ("plain", "Stopped.")]
)
def test_ctrl_c_and_sigterm_say_where_it_stands(sent, code, verb, said):
    process = subprocess.Popen([sys.executable, "-c", SLEEPER, verb], stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline() == "ready\n"
    process.send_signal(sent)
    _, shown = process.communicate(timeout=20)
    assert (process.returncode, shown) == (code, said + "\n")


def test_the_module_is_the_command_line():
    done = subprocess.run([sys.executable, "-m", "videojam", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, videojam.__version__)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="device files are of Linux")
def test_a_missing_gpu_is_said_before_torch_is_imported():
    code = (
        "import sys\n"
        "from videojam.cli import common\n"
        "common.GPU_FILES = ('/dev/no-such-gpu',)\n"
        "assert common.start('generate with tiny:base', None) == 'cpu'\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "generate with tiny:base: no GPU found: running on the CPU in float32\n"


def test_a_device_that_is_asked_for_is_named(capsys):
    assert common.start("verify tiny:base", "cpu", "bfloat16") == "cpu"
    assert capsys.readouterr().err == "verify tiny:base: on the CPU in bfloat16\n"


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(2**50, dtype=torch.float32),
        lambda: torch.empty(2**40, 2**40),
        lambda: bytearray(2**60),
    ],
)
def test_running_out_of_memory_names_what_was_asked_and_what_to_lower(allocate):
    with pytest.raises(VideoJamError) as error, memory_explained("4 clips", "Lower --batch-size."):
        allocate()
    assert "memory for 4 clips" in error.value.expected
    assert "GiB free" in error.value.found
    assert error.value.fix == "Lower --batch-size."


def test_other_errors_stay_as_they_are():
    with pytest.raises(RuntimeError, match="shape"), memory_explained("4 clips", "Lower --batch-size."):
        raise RuntimeError("shape mismatch")


def test_progress_in_a_log_is_whole_lines_with_the_time_left(monkeypatch):
    clock = iter([0.0, 1.0, 20.0, 21.0, 40.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    log = Console(file=io.StringIO(), force_terminal=False)
    progress = ProgressDisplay("generating", "clips", log)
    for done in (0, 10, 11, 20):
        progress(done, 20)
    assert log.file.getvalue().splitlines() == [
        "generating: 10 of 20 clips, 20 s left",
        "generating: 20 of 20 clips, 40 s",
    ]


def test_clips_of_an_earlier_run_say_nothing_of_the_speed(monkeypatch):
    clock = iter([0.0, 1.0, 20.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    log = Console(file=io.StringIO(), force_terminal=False)
    progress = ProgressDisplay("generating", "clips", log)
    progress(50, 100)
    progress(60, 100)
    assert log.file.getvalue() == "generating: 60 of 100 clips, 1 min 20 s left\n"


def test_durations():
    assert [duration(s) for s in (0.0, 59.6, 200.0, 7260.0, 90000.0)] == [
        "0 s",
        "1 min 0 s",
        "3 min 20 s",
        "2 h 1 min",
        "1 d 1 h",
    ]


def test_a_path_by_default_is_taken_and_an_empty_one_is_not():
    assert named_path(Path("out/demo")) == Path("out/demo")
    with pytest.raises(typer.BadParameter):
        named_path("")
    missing = CliRunner().invoke(app, ["demo", "--models", "nowhere"])
    assert "nowhere" in str(missing.exception)


@pytest.mark.parametrize(
    "verb",
    [
        ["generate", "tiny:base", "a square", "--out", "clip.mp4"],
        ["convert", "tiny:base", "joint.safetensors"],
        ["data", "prepare", "world:3", "Clips.Parquet", "--base", "tiny:base"],
        ["world", "render", "world.tar", "--clips", "1"],
        ["bench", "run", "tiny:base", "--out", "bench.html"],
    ],
    ids=lambda verb: verb[0],
)
def test_a_files_name_for_a_folder_to_write_is_refused(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, verb)
    assert done.exit_code == 2, done.output
    assert "expected the name of a folder, found that of a file" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "verb",
    [
        ["data", "check", "none", "--manifest"],
        ["data", "look", "none", "--page"],
        ["probe", "plot", "none", "--out"],
    ],
)
def test_a_folders_name_for_a_file_to_write_is_refused_before_anything_is_read(verb, tmp_path):
    done = CliRunner().invoke(app, [*verb, str(tmp_path)])
    assert done.exit_code == 2, done.output
    assert "expected the name of a file, found that of a folder" in " ".join(done.output.split())


def test_a_folder_that_is_there_and_one_with_a_version_are_no_files(tmp_path):
    (tmp_path / "old.mp4").mkdir()
    assert named_folder(tmp_path / "old.mp4").is_dir()
    assert named_folder("models/wan2.1") == Path("models/wan2.1")


def test_seeds_are_those_that_torch_takes():
    assert (seed_number(0), seed_number("7"), seed_number(str(2**63 - 1))) == (0, 7, 2**63 - 1)
    for bad in ("-1", "1.5", "", "one", "0x10", "٣", str(2**63), "9" * 40):
        with pytest.raises(typer.BadParameter, match="9223372036854775807"):
            seed_number(bad)


@pytest.mark.parametrize(
    "verb",
    [
        ["demo"],
        ["generate", "tiny:base", "a square", "--out", "out"],
        ["init", "dit-4b", "out", "--vae", "v", "--text-encoder", "t"],
        ["world", "render", "out", "--clips", "1"],
    ],
    ids=lambda verb: verb[0],
)
def test_a_seed_of_more_than_63_bits_is_refused_before_anything_is_done(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*verb, "--seed", str(2**64)])
    assert done.exit_code == 2, done.output
    assert "Invalid value for '--seed'" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--steps", "0"], "'--steps': expected a number of at least 1, found 0."),
        (["--steps", "few"], "'--steps': expected a whole number, found few."),
        (["--w-text", "much"], "'--w-text': expected a number, found much."),
        (["--seed", "many"], f"'--seed': expected a whole number from 0 to {2**63 - 1}, found many."),
        (["--schedule", "other"], "'--schedule': 'other' is not one of 'base', 'linear_quadratic'."),
    ],
)
def test_a_flag_that_does_not_fit_is_refused_in_plain_words(flags, words):
    if "expected a n" in words or "expected a whole number, " in words:
        pytest.importorskip("typer._coercion")  # where typer has no pydantic yet, its own words are plain
    done = CliRunner().invoke(app, ["generate", "tiny:base", "a square", "--out", "out", *flags])
    assert (done.exit_code, words in done.output) == (2, True), done.output


@pytest.mark.parametrize("rate", ["0", "nan", "-5", "inf"])
def test_a_rate_of_the_device_is_a_number_above_0_and_of_a_dry_run(rate):
    done = CliRunner().invoke(app, ["train", "recipe.yaml", "--dry-run", "--tflops", rate])
    assert (done.exit_code, "--tflops" in done.output) == (2, True)
    done = CliRunner().invoke(app, ["train", "recipe.yaml", "--tflops", "5"])
    assert (done.exit_code, "--dry-run" in done.output) == (2, True)


def test_a_warning_is_one_line_without_a_line_of_source(monkeypatch, capsys):
    """Of every verb: Python's own form names a file of the package and quotes a line of it."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(sys, "argv", ["videojam", "--version"])
    with pytest.raises(SystemExit):
        run()
    capsys.readouterr()
    warnings.showwarning("the text is cut", UserWarning, "sample.py", 3)
    assert capsys.readouterr().err == "warning: the text is cut\n"
