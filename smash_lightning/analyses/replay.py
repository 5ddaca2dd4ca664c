"""Repeats the steps of a HyperNet that diverged, up to the first number that is not finite, and names where it appears.

The training is continued from its last checkpoint, or from the start where there is none, with the same architectures,
images and noise: on a CPU the same numbers. replay.json has what is printed.
"""

import contextlib
import itertools
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from smash_lightning.files import atomic_write, read_object, write_text
from smash_lightning.network import Weights
from smash_lightning.report.tracker import Tracker
from smash_lightning.run_folder import RunFolder
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.search import DIVERGED, HYPERNET, held_out_architectures, train_hypernet
from smash_lightning.training import HyperNetModule


def replay(experiment: Experiment, tracker: Tracker, file: str | None = None) -> None:
    """Writes replay.json; conf/task/replay.yaml has the option.

    Raises:
        ValueError: there is no such file, or the training cannot be repeated in this process.
    """
    if experiment.source is None:
        raise ValueError("task=replay needs the run that diverged: name it with checkpoint=FOLDER")
    if experiment.together:
        raise ValueError("task=replay repeats a training by one process, and this one is by several together")
    source = experiment.source_folder()
    index, step = _diverged(source, file)
    folder = experiment.prepare_folder()
    if source.path.resolve() != folder.path.resolve() and source.hypernet(index).exists():
        with atomic_write(folder.hypernet(index)) as unfinished:
            shutil.copyfile(source.hypernet(index), unfinished)
    search = replace(experiment.search, graphs=False)
    # Without skipped steps, a number that is not finite may have been there before it changed a loss.
    examine = _Examine(step if search.skip_bad_steps else 0, step)
    again = replace(experiment, search=search, callbacks=[*experiment.callbacks, lambda: examine])
    with contextlib.suppress(_Ended), examine.within:
        train_hypernet(again, (HYPERNET, index, held_out_architectures(experiment)), lambda message: None)
    found = {"HyperNet": index, **(examine.found or {"place": f"none: all numbers up to step {step} are finite"})}
    write_text(folder.path / "replay.json", json.dumps(found, indent=1) + "\n")
    print("\n".join(f"{name}: {value}" for name, value in found.items()))


def _diverged(source: RunFolder, file: str | None) -> tuple[int, int]:
    """The index of the HyperNet that diverged, and the step."""
    found = [Path(file)] if file else sorted(source.checkpoints.glob(f"hypernet*{DIVERGED}"))
    if len(found) != 1 or not (match := re.fullmatch(rf"hypernet(\d+){DIVERGED}", found[0].name)):
        known = ", ".join(path.name for path in found) or "none"
        raise ValueError(f"task.file: name one file hypernetN{DIVERGED} in {source.checkpoints}; found: {known}")
    if type(step := read_object(found[0]).get("step")) is not int:
        raise ValueError(f"{found[0]} has no step: it is not what a search that diverged writes")
    return int(match[1]), step


class _Ended(Exception):
    """The training has been examined."""


class _Examine(L.Callback):
    """Looks at the numbers of the steps from `first` to `last`, and ends the training at one that is not finite."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last, self.found = first, last, dict[str, Any]()
        self.within = contextlib.ExitStack()  # of the operations of a batch

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        assert isinstance(module, HyperNetModule)
        self._place: dict[str, Any] = {}
        if self.first <= (step := trainer.global_step) <= self.last:
            name = module.draw(step, module.microbatch_index(batch_idx), 0)[1]
            largest = float(torch.nn.utils.get_total_norm(list(module.parameters()), torch.inf))
            self._place = {"step": step, "epoch": trainer.current_epoch, "first architecture": name}
            self._place["largest absolute weight"] = f"{largest:.4g}"
            self._operations = self.within.enter_context(_Operations(module))

    def on_before_backward(self, trainer: L.Trainer, module: L.LightningModule, loss: Tensor) -> None:
        self._loss = loss.detach()

    def on_after_backward(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.within.close()
        if self._place:
            self._end(self._operations.found or _described("loss", "loss", [self._loss]))

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if self._place:
            named = itertools.chain(module.named_parameters(), module.named_buffers())
            bad = (_described("update", f"parameter or statistic {name}", [tensor]) for name, tensor in named)
            self._end(next(filter(None, bad), {}))
        if trainer.global_step > self.last:
            raise _Ended

    def _end(self, bad: dict[str, str]) -> None:
        if bad:
            self.found = self._place | {"loss": f"{self._loss.item():.4g}"} | bad
            raise _Ended


class _Operations(TorchDispatchMode):
    """Notes the first operation, forward or backward, whose inputs are finite and whose results are not.

    The place is the weight that is used by it, or was used last before it. Running statistics are no inputs: a norm
    that has them does not use them while it is trained.
    """

    def __init__(self, module: HyperNetModule) -> None:
        super().__init__()
        weights, self._statistics = module.weights, {buffer.data_ptr() for buffer in module.statistics.buffers()}
        where = "before weights are generated"
        self.names = {p.data_ptr(): f"parameter {name}, {where}" for name, p in weights.named_parameters()}
        self.place, self.found = "input of the HyperNet", dict[str, str]()
        self._handle = weights.register_forward_hook(lambda *call: self._generated(call[-1]))

    def __exit__(self, *error: Any) -> None:
        self._handle.remove()
        super().__exit__(*error)

    def _generated(self, weights: Weights) -> None:
        self._weights = weights  # kept, so that their memory is not used again
        self.names |= {weight.data_ptr(): f"weight {name} of the network" for name, weight in weights.items()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs = [x for x in _tensors((args, kwargs)) if x.data_ptr() not in self._statistics]
        self.place = next((self.names[x.data_ptr()] for x in inputs if x.data_ptr() in self.names), self.place)
        fit = inputs and not self.found and "empty" not in func.__name__ and all(x.isfinite().all() for x in inputs)
        output = func(*args, **(kwargs or {}))
        if fit:
            self.found = _described(func.overloadpacket.__name__, self.place, _tensors(output))
        return output


def _tensors(tree: Any) -> list[Tensor]:
    return [x for x in tree_leaves(tree) if isinstance(x, Tensor) and x.is_floating_point()]


def _described(operation: str, place: str, tensors: Sequence[Tensor]) -> dict[str, str]:
    """Of the first of these tensors that is not finite; empty where there is none."""
    for x in tensors:
        if bad := int((~x.isfinite()).sum()):
            return {"operation": operation, "place": place, "not finite": f"{bad} of {x.numel()}"}
    return {}
