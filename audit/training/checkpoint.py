"""Checkpoints of an unfinished training, so that a killed one continues where it was.

A checkpoint is one safetensors file: the trained parameters, the optimizer's tensors and, as JSON in its header, what
has been counted so far. Nothing in it can run code. It holds no random state: every generator is made anew from seed
and step, and noise and draws that are secret are never written. It is replaced as a whole, and deleted when the
training is finished.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim import Optimizer

_NAME = "training.safetensors"


class Checkpoint:
    """Writes, reads and deletes the checkpoint of one training.

    Args:
        folder: Where it lies; made where it is missing, for this user only.
        fingerprint: Names the training completely; a checkpoint of another training is refused.
        seconds: Least time between two checkpoints.
        clock: What tells the time, in seconds.
    """

    def __init__(
        self, folder: Path, fingerprint: str, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path, self.fingerprint, self.seconds, self.clock = folder / _NAME, fingerprint, seconds, clock
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._last = clock()

    def is_due(self) -> bool:
        """Whether it is time for the next one."""
        return self.clock() - self._last >= self.seconds

    def save(self, model: nn.Module, optimizer: Optimizer, counted: dict[str, Any]) -> None:
        """Replace the checkpoint.

        Args:
            model: Its trainable parameters are written.
            optimizer: Its state is written.
            counted: Plain JSON.
        """
        tensors, plain = _flat(optimizer)
        tensors |= {f"model/{name}": p.detach() for name, p in model.named_parameters() if p.requires_grad}
        state = {"fingerprint": self.fingerprint, "optimizer": plain, "counted": counted}
        part = self.path.with_suffix(".part")
        save_file({k: t.contiguous() for k, t in tensors.items()}, part, metadata={"state": json.dumps(state)})
        os.chmod(part, 0o600)
        _flush(part)
        os.replace(part, self.path)
        _flush(self.path.parent)
        self._last = self.clock()

    def load(self, model: nn.Module, optimizer: Optimizer) -> dict[str, Any] | None:
        """Put model and optimizer back where the checkpoint left them.

        Returns:
            What had been counted, or None where there is no checkpoint.

        Raises:
            ValueError: The file is damaged, or belongs to another training.
        """
        self.path.with_suffix(".part").unlink(missing_ok=True)
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                state = json.loads(file.metadata()["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no mapping
        except (SafetensorError, KeyError, json.JSONDecodeError) as error:
            raise ValueError(f"{self.path}: the checkpoint is damaged; delete it to train from the start") from error
        if state["fingerprint"] != self.fingerprint:
            raise ValueError(f"{self.path}: the checkpoint is of another training; delete it or use another folder")
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(tensors[f"model/{name}"])
        _restore(optimizer, tensors, state["optimizer"])
        counted: dict[str, Any] = state["counted"]
        return counted

    def clear(self) -> None:
        """Delete it: the training is finished."""
        self.path.unlink(missing_ok=True)


def _flat(optimizer: Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, dict[str, Any]]]:
    """The optimizer's tensors by "optimizer/index/name", and its plain values by index and name."""
    tensors: dict[str, torch.Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, values in optimizer.state_dict()["state"].items():
        plain[str(index)] = {}
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer/{index}/{name}"] = value
            else:
                plain[str(index)][name] = value
    return tensors, plain


def _restore(optimizer: Optimizer, tensors: dict[str, torch.Tensor], plain: dict[str, dict[str, Any]]) -> None:
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in plain.items()}
    for key, tensor in tensors.items():
        kind, _, rest = key.partition("/")
        if kind == "optimizer":
            index, _, name = rest.partition("/")
            state[int(index)][name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
