"""What a model folder is, told from configs and headers: read once, whatever the size, and refused by name."""

from __future__ import annotations

import json
import os
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_pipelines import write_holes

from videojam.errors import VideoJamError
from videojam.joint.convert import convert
from videojam.models import check
from videojam.models.describe import describe_model
from videojam.models.header import read_header
from videojam.models.load import load_model
from videojam.models.resolve import resolve
from videojam.models.tensors import shapes_of_config
from videojam.sampling.verify import verify

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def base(tiny_wan, tmp_path):
    return shutil.copytree(tiny_wan, tmp_path / "base")


def edit(path, **changes):
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value != "absent"}))


def error_of(call, *args, **kwargs) -> VideoJamError:
    with pytest.raises(VideoJamError) as caught:
        call(*args, **kwargs)
    return caught.value


def test_converting_reads_each_header_once(tiny_wan, tmp_path, monkeypatch):
    read = []

    def counted(path):
        read.append(str(path.relative_to(tiny_wan)))
        return read_header(path)

    monkeypatch.setattr(check, "read_header", counted)
    monkeypatch.setattr("safetensors.safe_open", None)  # nothing else opens a weight file
    convert(tiny_wan, tmp_path / "joint")
    files = sorted(str(path.relative_to(tiny_wan)) for path in tiny_wan.rglob("*.safetensors"))
    assert sorted(read) == files
    read.clear()
    describe_model(tiny_wan)
    assert sorted(read) == files


def test_a_file_larger_than_memory_is_inspected_by_its_header(tmp_path, warm_python):
    """28 GB in one sparse file, in a process that may not map more than 4 GB."""
    config = {
        "_class_name": "WanTransformer3DModel",
        "num_attention_heads": 40,
        "attention_head_dim": 128,
        "ffn_dim": 13824,
        "num_layers": 40,
        "text_dim": 4096,
        "in_channels": 16,
        "out_channels": 16,
        "patch_size": [1, 2, 2],
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    shapes = shapes_of_config(config)
    write_holes(tmp_path, shapes, 1)
    (weights,) = tmp_path.glob("*.safetensors")
    assert weights.stat().st_size > 28e9
    limit = 4 * 2**30
    resource_limits = f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({limit}, {limit}))\n"
    code = resource_limits + (
        "import sys\nfrom pathlib import Path\nfrom videojam.models.folder import open_folder\n"
        "import mmap; mmap.mmap = None\n"
        "(header,) = open_folder(Path(sys.argv[1])).transformers[''].headers\n"
        "print(sum(entry.num_parameters for entry in header.entries.values()))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    (done,) = warm_python.run(code, tmp_path)
    assert done.returncode == 0, done.output
    num_parameters, peak_kib = map(int, done.output.split())
    assert num_parameters == sum(torch.Size(shape).numel() for shape in shapes.values())
    assert peak_kib < 4 * 2**20


@pytest.mark.parametrize(
    ("bad", "name", "dtype"),
    [
        (float("nan"), "patch_embedding.weight", torch.bfloat16),
        (float("nan"), "blocks.0.ffn.net.2.weight", torch.float16),
        (float("nan"), "blocks.0.ffn.net.2.weight", torch.float32),
        (float("inf"), "blocks.0.ffn.net.2.weight", torch.bfloat16),
        (-float("inf"), "proj_out.bias", torch.float32),
    ],
)
def test_weights_that_are_not_finite_are_not_converted(tiny_wan, tmp_path, bad, name, dtype):
    """A18."""
    base = shutil.copytree(tiny_wan / "transformer", tmp_path / "base")
    tensors = {key: tensor.to(dtype) for key, tensor in load_file(base / WEIGHTS).items()}
    tensors[name].view(-1)[-1] = bad
    save_file(tensors, base / WEIGHTS)
    error = error_of(convert, base, tmp_path / "out")
    assert error.expected == f"finite numbers in {name}"
    assert error.where == str(base / WEIGHTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]


@pytest.mark.parametrize("name", ["blocks.0.attn1.to_q.weight", "proj_out.bias", "scale_shift_table"])
def test_a_tensor_that_the_class_has_and_the_files_lack(base, tmp_path, name):
    """A18: by converting and by loading, where diffusers would fill it with random numbers."""
    file = base / "transformer" / WEIGHTS
    tensors = load_file(file)
    del tensors[name]
    save_file(tensors, file)
    assert name in error_of(convert, base, tmp_path / "out").expected
    assert name in error_of(load_model, base).expected
    assert not (tmp_path / "out").exists()


def test_a_tensor_of_another_shape(base, tmp_path):
    file = base / "transformer" / WEIGHTS
    tensors = load_file(file)
    name = "blocks.0.attn1.to_q.weight"
    save_file(tensors | {name: tensors[name][:, :-1].contiguous()}, file)
    assert name in error_of(convert, base, tmp_path / "out").expected


def test_a_half_precision_variant_that_lacks_a_tensor(base, tmp_path):
    folder = base / "transformer"
    tensors = {key: tensor.half() for key, tensor in load_file(folder / WEIGHTS).items()}
    del tensors["blocks.0.attn1.to_q.weight"]
    save_file(tensors, folder / "diffusion_pytorch_model.fp16.safetensors")
    assert "blocks.0.attn1.to_q.weight" in error_of(convert, base, tmp_path / "out").expected


@pytest.mark.parametrize("inside", ["joint", "transformer/joint", "a/b"])
def test_converting_into_the_base_itself(base, inside):
    """A22."""
    before = sorted(base.rglob("*"))
    error = error_of(convert, base, base / inside)
    assert "outside" in error.expected
    assert sorted(base.rglob("*")) == before


def test_a_revision_of_a_folder(base):
    assert "revision" in error_of(resolve, base, "main").found
    assert "revision" in error_of(resolve, "tiny:base", "main").found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("in_channels", "absent"),
        ("in_channels", "sixteen"),
        ("in_channels", None),
        ("in_channels", True),
        ("in_channels", 0),
        ("in_channels", 16.5),
        ("out_channels", [16]),
        ("out_channels", -4),
        ("patch_size", "2"),
        ("patch_size", [1, "2", 2]),
        ("patch_size", [1, 0, 2]),
        ("patch_size", None),
    ],
)
def test_a_config_of_other_types_names_the_key(base, tmp_path, key, value):
    edit(base / "transformer" / "config.json", **{key: value})
    for call, args in ((convert, (base, tmp_path / "out")), (describe_model, (base,)), (load_model, (base,))):
        error = error_of(call, *args)
        assert key in error.expected
        assert error.where.endswith("config.json")


@pytest.mark.parametrize("content", ["[]", "null", "{", "", "[" * 100000])
@pytest.mark.parametrize(
    "file",
    [
        "transformer/config.json",
        "model_index.json",
        "vae/config.json",
        "text_encoder/config.json",
        "tokenizer/tokenizer_config.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_json_of_another_kind(base, tmp_path, file, content):
    (base / file).write_text(content)
    for call, args in ((convert, (base, tmp_path / "out")), (describe_model, (base,)), (load_model, (base,))):
        assert error_of(call, *args).where == str(base / file)


@pytest.mark.parametrize("name", [f"transformer/{WEIGHTS}", "transformer/config.json"])
def test_a_named_pipe_in_a_model_is_refused_and_not_waited_for(base, name):
    (base / name).unlink()
    os.mkfifo(base / name)
    for call, args in ((describe_model, (base,)), (load_model, (base,))):
        assert error_of(call, *args).found == "a named pipe or a device"


@pytest.mark.parametrize(("file", "key"), [("vae", "z_dim"), ("transformer", "num_layers")])
def test_a_word_in_place_of_a_number_is_refused_by_every_verb(base, tmp_path, file, key):
    edit(base / file / "config.json", **{key: "many"})
    for call, args in ((convert, (base, tmp_path / "out")), (describe_model, (base,)), (load_model, (base,))):
        error = error_of(call, *args)
        assert (error.expected, error.found) == (f"{key} as a whole number from 1 on", "'many'")


def test_verify_says_what_is_wrong_with_a_folder_as_generate_does(base):
    shutil.rmtree(base / "scheduler")
    assert error_of(verify, base).expected == error_of(load_model, base).expected
    edit(base / "model_index.json", transformer=[None, None], unet=["diffusers", "UNet2DConditionModel"])
    assert error_of(verify, base).expected == error_of(load_model, base).expected


@pytest.mark.parametrize(
    "shard", ["../other.safetensors", "/etc/passwd", "sub/a.safetensors", "..", "", 7, None]
)
def test_a_shard_elsewhere_is_not_followed(base, tmp_path, shard):
    (base.parent / "other.safetensors").write_bytes(b"")
    index = base / "transformer" / f"{WEIGHTS}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"proj_out.weight": shard}}))
    for call, args in ((convert, (base, tmp_path / "out")), (load_model, (base,))):
        assert error_of(call, *args).where == str(index)


@pytest.mark.parametrize("component", ["transformer", "vae", "text_encoder"])
def test_pickled_weights_are_refused_wherever_they_are(base, tmp_path, component):
    (file,) = (base / component).glob("*.safetensors")
    file.rename(file.with_suffix(".bin"))
    for call, args in ((convert, (base, tmp_path / "out")), (load_model, (base,))):
        error = error_of(call, *args)
        assert "pickled" in error.found
        assert error.where == str(base / component)


def test_code_in_a_pipeline_is_not_run(base, tmp_path):
    (base / "transformer" / "my_model.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: pass\n"
    )
    edit(base / "model_index.json", transformer=["my_model", "Mine"])
    for call, args in ((convert, (base, tmp_path / "out")), (load_model, (base,))):
        assert "my_model.py" in error_of(call, *args).found
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("value", [[7, 8], ["diffusers", ["a"]], [{}, "X"]])
def test_an_index_with_other_things_than_names(base, value):
    edit(base / "model_index.json", vae=value)
    assert "vae" in error_of(load_model, base).expected


@pytest.mark.parametrize("name", ["vae", "tokenizer", "scheduler", "text_encoder"])
@pytest.mark.parametrize("value", ["absent", [None, None]])
def test_a_pipeline_without_one_of_its_parts(base, name, value):
    edit(base / "model_index.json", **{name: value})
    assert name in str(error_of(load_model, base))


def test_an_image_model_is_refused_before_it_is_loaded(base):
    edit(base / "model_index.json", transformer=[None, None], unet=["diffusers", "UNet2DConditionModel"])
    (base / "transformer").rename(base / "unet")
    assert error_of(load_model, base).found == "UNet2DConditionModel"


def test_a_file_given_as_a_model(base):
    for call, args in ((load_model, ()), (describe_model, ()), (convert, (base / "out",))):
        error = error_of(call, base / "model_index.json", *args)
        assert error.found == "a file"
        assert "folder that holds model_index.json" in error.fix


@pytest.mark.parametrize("name", ["~no-such-user/model", "\x00", "a" * 5000, ".", ""])
def test_names_that_no_folder_has(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error_of(load_model, name)
    error_of(describe_model, name)


HEADERS = {
    "empty": b"",
    "short": b"\x08\0\0",
    "longer than the file": struct.pack("<Q", 10**6) + b"{}",
    "no JSON": struct.pack("<Q", 2) + b"{]",
    "a list": struct.pack("<Q", 2) + b"[]",
    "no offsets": struct.pack("<Q", 33) + b'{"a":{"dtype":"F32","shape":[1]}}',
    "data missing": struct.pack("<Q", 58) + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}    ',
    "data too long": struct.pack("<Q", 2) + b"{}" + b"1234",
    "a hole": struct.pack("<Q", 58)
    + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}    '
    + bytes(8),
    "shape and size differ": struct.pack("<Q", 58)
    + b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}    '
    + bytes(4),
}


@pytest.mark.parametrize("case", HEADERS)
def test_broken_headers(tmp_path, case):
    file = tmp_path / "a.safetensors"
    file.write_bytes(HEADERS[case])
    assert error_of(read_header, file).where == str(file)


def test_a_header_is_that_of_the_library(tiny_wan):
    file = tiny_wan / "transformer" / WEIGHTS
    entries = read_header(file).entries
    assert {name: entry.shape for name, entry in entries.items()} == {
        name: list(tensor.shape) for name, tensor in load_file(file).items()
    }


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_not_the_current_folder(name):
    with pytest.raises(VideoJamError, match="an empty name"):
        resolve(name)
