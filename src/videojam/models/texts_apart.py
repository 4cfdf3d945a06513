"""Text encoders apart from their pipeline: loaded for the texts, freed, and their outputs kept for when they are asked.

The pipeline's own code runs unchanged. Where it would call a text encoder, it calls a stand-in that knows the output
of each input that was encoded before; for another one the encoder is loaded again, for this one call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from videojam.files import write_tensors
from videojam.models.check import read_json
from videojam.models.load import TEXT_ENCODERS, LoadedModel
from videojam.models.outline import loaded_encoders
from videojam.models.resolve import resolve
from videojam.models.upcast import compute_in_float32

Output = dict[str, Tensor]
"""What a text encoder returned, by field; an element i of a tuple under `field.i`."""


@dataclass
class TextsApart:
    """The text encoders of a stored pipeline, and what they returned.

    Attributes:
        source: Pipeline folder, hub id or shipped model.
        device: Where the encoders compute.
        exact: Compute in float32, as `load_model` does on a CPU, with stored weights of any type.
        known: What each encoder returned, by its name and a hash of what it was given.
    """

    source: str | Path
    device: str | torch.device = "cpu"
    exact: bool = False
    known: dict[str, Output] = field(default_factory=dict)

    def encode(self, texts: Sequence[str], length: int | None) -> None:
        """Encode texts, one at a time, as the stock pipeline does in a call with one prompt.

        Args:
            texts: Prompts and null texts.
            length: Text tokens, padding included; the pipeline's default if None.
        """
        self.encode_asked(lambda model: (texts, length))

    def encode_asked(self, ask: Callable[[LoadedModel], tuple[Sequence[str], int | None]]) -> None:
        """Encode the texts that a function names when it sees the pipeline with its text encoders.

        Args:
            ask: Returns texts and length, as `encode` takes them.
        """
        with self._loaded() as model:
            texts, length = ask(model)
            pipe = model.pipeline
            own = {name: getattr(pipe, name) for name in self._names()}
            for name, encoder in own.items():
                setattr(pipe, name, _Recorder(self, name, encoder))
            for text in dict.fromkeys(texts):
                model.family.encode_prompts(pipe, [text], length)
            del own, encoder  # before the encoders are freed

    def stand_in(self, pipe: Any) -> None:
        """Put stand-ins for the text encoders into a pipeline that was loaded without them."""
        for name in self._names():
            setattr(pipe, name, _StandIn(self, name))

    def save(self, path: Path) -> None:
        """Write the outputs to a file."""
        tensors = {f"{key}/{name}": t for key, output in self.known.items() for name, t in output.items()}
        # some outputs are one tensor under two names, which safetensors refuses
        write_tensors(path, {name: tensor.contiguous().clone() for name, tensor in tensors.items()})

    def read(self, path: Path) -> None:
        """Read outputs that `save` wrote; none where there is no such file, or another process cut it short."""
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118
                    key, _, field_name = name.rpartition("/")
                    self.known.setdefault(key, {})[field_name] = file.get_tensor(name).clone()
        except (OSError, SafetensorError):
            self.known.clear()

    @contextmanager
    def _loaded(self) -> Iterator[LoadedModel]:
        with loaded_encoders(self.source, "text", self.device) as model:
            if self.exact:
                for name in self._names():
                    compute_in_float32(getattr(model.pipeline, name))
            yield model

    def _names(self) -> list[str]:
        index = read_json(resolve(self.source) / "model_index.json")
        return [name for name in TEXT_ENCODERS if index.get(name, [None])[0] is not None]


class _Apart(nn.Module):
    """What a pipeline asks of a text encoder, beside calling it.

    Args:
        texts: Whose encoder it is.
        name: Of the component.
    """

    def __init__(self, texts: TextsApart, name: str) -> None:
        super().__init__()
        self.texts, self.name = texts, name

    @property
    def dtype(self) -> torch.dtype:
        """float32, to which what the encoder returned is turned."""
        return torch.float32

    @property
    def device(self) -> torch.device:
        """Where the encoders compute."""
        return torch.device(self.texts.device)

    def _answer(self, output: Output, device: torch.device) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        fields: dict[str, Any] = {}
        for name, tensor in output.items():
            value = tensor.to(device)
            value = value.float() if value.is_floating_point() else value
            head, _, number = name.partition(".")
            if number:
                fields.setdefault(head, []).append(value)
            else:
                fields[head] = value
        whole: Any = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return BaseModelOutputWithPooling(**whole)


class _Recorder(_Apart):
    """A loaded text encoder, whose outputs are kept.

    Args:
        texts: Whose encoder it is.
        name: Of the component.
        encoder: It.
    """

    def __init__(self, texts: TextsApart, name: str, encoder: Any) -> None:
        super().__init__(texts, name)
        self.encoder, self.config = encoder, encoder.config

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Encode, and keep what came out."""
        output = self.texts.known[_key(self.name, args, kwargs)] = _kept(self.encoder(*args, **kwargs))
        return self._answer(output, _device(args, kwargs))


class _StandIn(_Apart):
    """Answers as a text encoder that is not in memory."""

    @property
    def config(self) -> Any:
        """The encoder's, read from its folder."""
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(resolve(self.texts.source) / self.name, local_files_only=True)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what was kept; load the encoder for a text that is new."""
        key = _key(self.name, args, kwargs)
        if key not in self.texts.known:
            with self.texts._loaded() as model:
                _Recorder(self.texts, self.name, getattr(model.pipeline, self.name))(*args, **kwargs)
        return self._answer(self.texts.known[key], _device(args, kwargs))


def _kept(output: Any) -> Output:
    """Return the tensors of an output on the host, those of tuples one by one; other fields are left out."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    kept: Output = {}
    for name in BaseModelOutputWithPooling.__dataclass_fields__:
        value = getattr(output, name, None)
        if isinstance(value, Tensor):
            kept[name] = value.cpu()
        elif isinstance(value, tuple):
            kept |= {f"{name}.{i}": tensor.cpu() for i, tensor in enumerate(value)}
    return kept


def _key(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return the name of an encoder with a hash of what it is given, wherever the tensors are."""
    found = hashlib.sha256()
    for label, value in [*enumerate(args), *sorted(kwargs.items())]:
        words = f"{list(value.shape)} {value.cpu().tolist()}" if isinstance(value, Tensor) else repr(value)
        found.update(f"{label}={words};".encode())
    return f"{name}/{found.hexdigest()[:32]}"


def _device(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device:
    return next(value.device for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
