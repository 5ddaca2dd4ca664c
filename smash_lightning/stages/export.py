"""Exports a retrained network to files that run without this package, with a model card."""

import json
import logging
import runpy
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from smash_lightning.data import DataModule
from smash_lightning.files import atomic_write, write_text
from smash_lightning.finished_run import trained_network
from smash_lightning.network import Classifier
from smash_lightning.network.plain import plain_network, plain_source, plain_state
from smash_lightning.report.diagram import architecture_svg
from smash_lightning.report.model_card import model_card
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment

Format = Literal["torch", "onnx", "safetensors", "python"]
PACKAGES: dict[Format, tuple[str, ...]] = {  # that each needs in addition to the dependencies
    "torch": (),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "safetensors": ("safetensors",),
    "python": ("safetensors",),  # its weights are that file
}
INSTALL = "pip install 'smash-lightning[export]'"
CARD = "MODEL_CARD.md"
CHECKED = 16  # test images on which each file is compared with the network


def export(
    experiment: Experiment,
    tracker: Tracker,
    fingerprint: str | None = None,
    formats: Sequence[Format] | None = None,
    push_to_hub: str | None = None,
    private: bool = True,
) -> None:
    """Writes a network as `network.pt2`, `network.onnx`, `network.safetensors` and `network.py`.

    All but the first and the last have one definition, the generated code of `network.py`. Each file is read again, and
    compared with the network on test images. `MODEL_CARD.md` has the differences, the data and their digests, the test
    results, and how to load each file; `architecture.json`, `architecture.svg`, `classes.json` and `data.json` are
    written too, the last also as an extra file of `network.pt2`.

    Args:
        experiment: its `source` is a run with retrained networks.
        tracker: receives the files.
        fingerprint: the architecture; None: the best by score of those that were retrained.
        formats: what to write; None: all whose packages are installed.
        push_to_hub: USER/NAME of a model on the Hugging Face hub, to which the files are sent.
        private: whether a model that is new there can be seen by its owner alone.

    Raises:
        ValueError: nothing was retrained, or not this architecture; its checkpoint is missing or of other data; or a
            package is missing.
        RuntimeError: a file computes something else, or the hub cannot be reached.
    """
    chosen = _installed(formats)
    data, source, folder = experiment.data, experiment.source_folder(), experiment.prepare_folder().path
    found = trained_network(source, fingerprint, data.describe()["content"])
    classifier = found.classifier
    architecture, title = classifier.network.architecture, f"{data.name}: architecture {found.fingerprint}"
    differences = _write(classifier, data, title, folder, chosen)
    write_text(folder / "architecture.json", architecture.to_json() + "\n")
    write_text(folder / "architecture.svg", architecture_svg(architecture, data.image_spec, title))
    write_text(folder / "classes.json", json.dumps(data.classes) + "\n")
    card = model_card(source, classifier, found.trainings, data.describe(), differences)
    write_text(folder / CARD, card)
    names = [*differences, "architecture.json", "architecture.svg", "classes.json", "data.json"]
    tracker.artifact("network", "model", [folder / name for name in (*names, CARD)])
    print(
        f"{found.fingerprint}, seed {found.seed}: test error {found.trainings['true_error'].iloc[0]:.2f} %, "
        f"{found.trainings['true_error'].mean():.2f} % as the mean of {len(found.trainings)} trainings. "
        f"{CARD} shows how to load {', '.join(differences)}."
    )
    if left_out := [name for name in PACKAGES if formats is None and name not in chosen]:
        print(f"Not written: {', '.join(left_out)}. They need {INSTALL}")
    if push_to_hub is not None:
        _push(push_to_hub, private, {name: folder / name for name in names} | {"README.md": folder / CARD})


def _installed(formats: Sequence[Format] | None) -> list[Format]:
    missing = {name: [each for each in needed if find_spec(each) is None] for name, needed in PACKAGES.items()}
    if formats is None:
        return [name for name in PACKAGES if not missing[name]]
    if lacking := next((name for name in formats if missing[name]), None):
        raise ValueError(f"task.formats: {lacking} needs the package {missing[lacking][0]}: {INSTALL}")
    return [name for name in PACKAGES if name in formats]


@torch.no_grad()
def _write(
    classifier: Classifier, data: DataModule, title: str, folder: Path, formats: Sequence[Format]
) -> dict[str, float]:
    """Writes and reads the files; returns the largest difference of a logit by the name of the file."""
    images = data.test.take(torch.arange(min(CHECKED, len(data.test)))).images.float()
    weights, expected = folder / "network.safetensors", classifier(images)
    source = plain_source(classifier, data.classes, title, weights.name)
    state, network = plain_state(classifier), plain_network(source)
    network.load_state_dict(state)
    read: dict[str, Callable[[Tensor], Tensor]] = {}
    if "torch" in formats:
        read["network.pt2"] = _write_archive(network, images, folder / "network.pt2", data)
    if "onnx" in formats:
        read["network.onnx"] = _write_onnx(network, images, folder / "network.onnx")
    if "safetensors" in formats or "python" in formats:
        from safetensors.torch import load_file, save

        with atomic_write(weights) as partial:
            about = {"format": "pt", "architecture": classifier.network.architecture.to_json()}
            partial.write_bytes(save(state, about))
        again = plain_network(source)
        again.load_state_dict(load_file(weights))
        read[weights.name] = again
    if "python" in formats:
        path = folder / "network.py"
        write_text(path, source)
        read[path.name] = runpy.run_path(str(path))["load"]()
    differences = {}
    for name, run in read.items():
        logits = run(images)
        differences[name] = float((logits - expected).abs().max())
        if not torch.allclose(logits, expected, rtol=1e-4, atol=1e-4):
            raise RuntimeError(
                f"{folder / name} computes something else than the network that was exported: a logit differs by "
                f"{differences[name]:.3g}"
            )
    return differences


def _dynamic() -> Any:
    return ({0: torch.export.Dim("batch", min=1, max=65536)},)


def _write_archive(network: nn.Module, images: Tensor, path: Path, data: DataModule) -> Callable[[Tensor], Tensor]:
    program = torch.export.export(network, (images[:2],), dynamic_shapes=_dynamic())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, path, extra_files={"data.json": json.dumps(data.describe())})
    return torch.export.load(path).module()


def _write_onnx(network: nn.Module, images: Tensor, path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    for name in ("torch.onnx", "onnxscript", "onnx_ir"):  # each pass is a line, and so is that torchvision is missing
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (images[:2],),
            path,
            dynamo=True,
            dynamic_shapes=_dynamic(),
            input_names=["images"],
            output_names=["logits"],
            external_data=False,
            verbose=False,
        )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda batch: torch.from_numpy(session.run(None, {"images": batch.numpy()})[0])


def _push(name: str, private: bool, files: dict[str, Path]) -> None:
    """Sends files to the Hugging Face hub in one commit, by their names there."""
    from huggingface_hub import CommitOperationAdd, HfApi  # here, as the import takes a second

    operations = [CommitOperationAdd(target, path) for target, path in files.items()]
    try:
        api = HfApi()
        api.create_repo(name, private=private, exist_ok=True)
        print(api.create_commit(name, operations, commit_message="A network found by architecture search").commit_url)
    except Exception as error:  # of the library or of the network: they have no common type
        reason = " ".join(str(error).split())
        raise RuntimeError(
            f"task.push_to_hub={name}: {reason}. The files are in {files['README.md'].parent}; log in with "
            "`hf auth login`, or check the name"
        ) from None
