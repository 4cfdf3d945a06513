"""The cache: what is wrong with a file or a folder of it is said, and nothing damaged is trained on."""

from __future__ import annotations

import pytest
import torch

from videojam.data.cache import facts_of, make_cache, read_encoded, write_encoded
from videojam.errors import VideoJamError

TENSORS = {
    "x": torch.arange(24, dtype=torch.float16).view(2, 3, 4),
    "d": torch.zeros(2, 3, 4, dtype=torch.float16),
    "text.mask": torch.tensor([True, False]),
    "text.length": torch.tensor(7),
}


@pytest.fixture
def cached(tmp_path):
    write_encoded(tmp_path / "a.safetensors", TENSORS, {"name": "a.mp4", "caption": "a dog"})
    return tmp_path / "a.safetensors"


def test_what_is_written_is_read(cached):
    for keys in (None, ("d",), ("text.length", "x")):
        read = read_encoded(cached, keys)
        assert read.keys() == set(keys or TENSORS)
        assert all(
            torch.equal(read[key], TENSORS[key]) and read[key].dtype == TENSORS[key].dtype for key in read
        )
    assert facts_of(cached)["caption"] == "a dog"
    assert cached.stat().st_mode & 0o077  # for whom the umask says


@pytest.mark.parametrize("place", range(1, 50, 7))
def test_a_flipped_bit_is_never_read_as_a_latent(cached, place):
    content = bytearray(cached.read_bytes())
    content[-place] ^= 1
    cached.write_bytes(content)
    with pytest.raises(VideoJamError, match="other bytes in") as caught:
        read_encoded(cached)
    assert caught.value.where == str(cached)
    assert "Delete the file" in caught.value.fix


@pytest.mark.parametrize("spoil", [lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:200])])
def test_a_file_that_went_away_while_training_is_named(cached, spoil):
    spoil(cached)
    assert facts_of(cached) is None
    with pytest.raises(VideoJamError, match=cached.name):
        read_encoded(cached)


def test_a_file_that_is_gone_says_what_it_held_and_what_to_do(cached):
    cached.unlink()
    with pytest.raises(VideoJamError) as caught:
        read_encoded(cached, what="the cached latents of dog.mp4")
    error = caught.value
    assert error.expected == "the cached latents of dog.mp4, which were there when the run began"
    assert (error.found, error.where) == ("no such file", str(cached))
    assert error.fix == "Start again: the clip is encoded again, and a run goes on from its last checkpoint."


def test_a_cache_that_is_a_file(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(VideoJamError, match=r"data\.cache") as caught:
        make_cache(tmp_path / "cache" / "key", "{}")
    assert "set data.cache to another folder" in caught.value.fix


def test_a_cache_that_is_whole_is_not_written_to(tmp_path):
    folder = make_cache(tmp_path / "key", "{}\n")
    before = (folder / "config.json").stat()
    make_cache(tmp_path / "key", "{}\n")
    assert (folder / "config.json").stat().st_mtime_ns == before.st_mtime_ns
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_a_full_disk_is_said_with_its_place(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(VideoJamError, match="No space left") as caught:
        write_encoded(tmp_path / "a.safetensors", TENSORS, {})
    assert "data.cache" in caught.value.fix
    assert not list(tmp_path.iterdir())
