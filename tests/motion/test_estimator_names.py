"""Other RAFT weights have another name, so that a cache does not give the flow of the former ones."""

from __future__ import annotations

from videojam.motion.estimators import OnFirstUse


def test_a_name_is_a_function_of_the_weights(tmp_path):
    file = tmp_path / "raft.safetensors"
    names = [
        OnFirstUse(*arguments).name
        for arguments in (("raft",), ("dis",), ("raft", "C_T_SKHT_V1"), ("raft", None))
    ]
    for content in (b"one", b"two"):
        file.write_bytes(content)
        names.append(OnFirstUse("raft", file).name)
    assert names[:2] == ["raft", "dis"]
    assert len(set(names)) == len(names)
    assert OnFirstUse("dis", file).name == "dis"
