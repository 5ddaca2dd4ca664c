"""Repeats the steps of a HyperNet that diverged, up to the first number that is not finite, and names where it appears.

The training is continued from its last checkpoint, or from the start where there is none, with the same architectures,
images and noise: on a CPU the same numbers. replay.json has what is printed.
"""

import contextlib
import itertools
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from smash_lightning.files import atomic_write, read_object, write_text
from smash_lightning.hypernet import WeightSource
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
    del tracker
    if experiment.source is None:
        raise ValueError("task=replay needs the run that diverged: name it with checkpoint=FOLDER")
    if experiment.together:
        raise ValueError(
            "task=replay repeats the training of one process, and this one is by several that train together"
        )
    source, folder = experiment.source_folder(), experiment.prepare_folder()
    path = _file(source, file)
    step, index = _step(path), int(re.findall(r"\d+", path.name)[0])
    if source.path.resolve() != folder.path.resolve() and source.hypernet(index).exists():
        with atomic_write(folder.hypernet(index)) as unfinished:
            shutil.copyfile(source.hypernet(index), unfinished)
    search = replace(experiment.search, graphs=False)
    # Without skipped steps, a number that is not finite may have been there before it changed a loss.
    examine = _Examine(step if search.skip_bad_steps else 0, step)
    again = replace(experiment, search=search, callbacks=[*experiment.callbacks, lambda: examine])
    with contextlib.suppress(_Ended):
        train_hypernet(again, (HYPERNET, index, held_out_architectures(experiment)), lambda message: None)
    found = {"HyperNet": index, **(examine.found or {"place": f"none: all numbers up to step {step} are finite"})}
    write_text(folder.path / "replay.json", json.dumps(found, indent=1) + "\n")
    print("\n".join(f"{name}: {value}" for name, value in found.items()))


def _file(source: RunFolder, file: str | None) -> Path:
    found = [Path(file)] if file else sorted(source.checkpoints.glob(f"hypernet*{DIVERGED}"))
    if len(found) == 1 and re.fullmatch(rf"hypernet\d+{DIVERGED}", found[0].name):
        return found[0]
    known = ", ".join(path.name for path in found) or "none"
    raise ValueError(f"task.file: name one file hypernetN{DIVERGED} in {source.checkpoints}; found: {known}")


def _step(path: Path) -> int:
    step = read_object(path).get("step")
    if type(step) is not int:
        raise ValueError(f"{path} has no step: it is not what a search that diverged writes")
    return step


class _Ended(Exception):
    """The training has been examined."""


class _Examine(L.Callback):
    """Looks at the numbers of the steps from `first` to `last`, and ends the training at one that is not finite."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last, self.found = first, last, dict[str, Any]()
        self._operations, self._place = _Operations(), dict[str, Any]()

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, HyperNetModule)
        training_step, weights = module.training_step, module.weights

        def examined(batch: Any, batch_idx: int) -> Tensor:
            step = module.global_step
            if not self.first <= step <= self.last:
                return training_step(batch, batch_idx)
            self._operations.begin(weights)
            handle = weights.register_forward_hook(lambda *call: self._operations.generated(call[-1]))
            with self._operations:
                loss = training_step(batch, batch_idx)
            handle.remove()
            name = module.draw(step, module.microbatch_index(batch_idx), 0)[1]
            largest = float(torch.nn.utils.get_total_norm(list(module.parameters()), torch.inf))
            self._place = {"step": step, "epoch": trainer.current_epoch, "first architecture": name}
            self._place |= {"loss": f"{loss.item():.4g}", "largest absolute weight": f"{largest:.4g}"}
            self._end(self._operations.found or _described("loss", "loss", loss))
            return loss

        module.training_step = examined  # type: ignore[method-assign]  # Lightning has no callback around it

    def on_before_optimizer_step(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if self._place:
            named = ((f"gradient of parameter {name}", p.grad) for name, p in module.named_parameters())
            self._end(self._operations.gradient or _first("backward pass", named))

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if self._place:
            named = itertools.chain(module.named_parameters(), module.named_buffers())
            self._end(_first("update", ((f"parameter or statistic {name}", tensor) for name, tensor in named)))
        if trainer.global_step > self.last:
            raise _Ended

    def _end(self, bad: dict[str, str]) -> None:
        if bad:
            self.found = self._place | bad
            raise _Ended


class _Operations(TorchFunctionMode):
    """Notes the first operation whose inputs are finite and whose output is not, and the first such gradient.

    The place is the weight that is used by it, or was used last before it.
    """

    def begin(self, weights: WeightSource) -> None:
        """Before a batch."""
        self.names = {
            id(p): f"parameter {name}, before weights are generated" for name, p in weights.named_parameters()
        }
        self.place, self.found, self.gradient = "input of the HyperNet", dict[str, str](), dict[str, str]()

    def generated(self, weights: Weights) -> None:
        """After the weights of an architecture are there."""
        self.weights = weights  # objects keep their identity as long as they exist
        for name, weight in weights.items():
            self.names[id(weight)] = f"weight {name} of the network"
            if weight.requires_grad:
                weight.register_hook(partial(self._on_gradient, name))

    def _on_gradient(self, name: str, gradient: Tensor) -> None:
        self.gradient = self.gradient or _described("backward pass", f"gradient of weight {name}", gradient)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs = _tensors((args, kwargs))
        self.place = next((self.names[id(x)] for x in inputs if id(x) in self.names), self.place)
        fit = not self.found and "empty" not in func.__name__ and all(x.isfinite().all() for x in inputs)
        output = func(*args, **(kwargs or {}))
        if fit:
            outputs = ((self.place, x) for x in _tensors(output))
            self.found = _first(func.__name__, outputs)
        return output


def _tensors(tree: Any) -> list[Tensor]:
    return [x for x in tree_leaves(tree) if isinstance(x, Tensor) and x.is_floating_point()]


def _first(operation: str, named: Iterable[tuple[str, Tensor | None]]) -> dict[str, str]:
    """The first tensor that is not finite; empty where there is none."""
    return next(filter(None, (_described(operation, name, x) for name, x in named if x is not None)), {})


def _described(operation: str, place: str, tensor: Tensor) -> dict[str, str]:
    bad = int((~tensor.isfinite()).sum())
    return {"operation": operation, "place": place, "not finite": f"{bad} of {tensor.numel()}"} if bad else {}
