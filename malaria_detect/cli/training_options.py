"""Options that several commands share, and how their text is read."""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from malaria_detect.cli.cells import CELLS_HELP, report_cells
from malaria_detect.core.shipped import MODEL

if TYPE_CHECKING:
    from malaria_detect.data.labelled_cells import LabelledCells
    from malaria_detect.metrics import Scores
    from malaria_detect.training.design import Design
    from malaria_detect.training.settings import TrainSettings, Weights


def add_model(command: argparse.ArgumentParser, operating_point: bool = False) -> None:
    """Add the option for the model and, if wanted, that for the operating point."""
    command.add_argument(
        "--model",
        metavar="FILE",
        help=f"exported learner (default: {MODEL} in this folder, or the model that comes with the package)",
    )
    if operating_point:
        command.add_argument(
            "--operating-point",
            metavar="NAME",
            help="screening, balanced or counting (default: the model's own)",
        )


def add_settings(command: argparse.ArgumentParser, work: str) -> None:
    """Add the options for cells, settings and resuming."""
    command.add_argument("--cells", help=CELLS_HELP)
    command.add_argument(
        "--work", default=work, help="folder for checkpoints and cached images (default: %(default)s)"
    )
    command.add_argument(
        "--network",
        metavar="NAME",
        default="resnet34",
        help="design to train, such as small-cnn-64; an unknown name lists all (default: %(default)s)",
    )
    add_weights(command)
    command.add_argument(
        "--preprocess",
        metavar="NAMES",
        help="preprocessing of all images: hsv, blur:SIGMA, reinhard, macenko, or several such as macenko,hsv",
    )
    command.add_argument("--epochs", help="epochs at each image size, such as 3 or 3,4; overrides --sizes")
    command.add_argument(
        "--freeze-epochs", type=int, help="epochs at the start in which only the head is trained"
    )
    command.add_argument(
        "--average-epochs",
        type=int,
        help="epochs at the end over which the weights are averaged (default: as the shipped model; evaluate: 0)",
    )
    command.add_argument("--batch-size", type=int, help="cells in a batch")
    command.add_argument("--lr", type=float, dest="base_lr", help="base learning rate")
    command.add_argument("--seed", type=int, help="seed of the split and of the training")
    command.add_argument(
        "--class-weights",
        choices=("none", "balanced"),
        help="balanced: both classes count the same in the loss, however rare one is (default: none)",
    )
    command.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="FIELD=VALUE",
        help="other settings, such as schedule=constant patience=5; see malaria_detect.training.settings",
    )
    command.add_argument(
        "--corrections",
        metavar="FILE",
        help="train on corrected labels from this file; see `malaria-detect labels`",
    )
    command.add_argument(
        "--resume", action="store_true", help="continue after the last finished epoch in --work"
    )


def add_weights(command: argparse.ArgumentParser) -> None:
    """Add the option for the weights to start from."""
    command.add_argument(
        "--weights",
        "--weights-file",
        metavar="FILE",
        help="weights to start from: a state dict, imagenet (downloaded; default) or none; for several trunks "
        "resnet50v2=FILE,mobilenetv2=FILE",
    )


def design_and_settings(options: argparse.Namespace) -> "tuple[Design, TrainSettings]":
    """The design and the settings of a command; settings that are not given are the design's."""
    from malaria_detect.data.preprocessing import parse_preprocess
    from malaria_detect.designs.registry import find_network

    design = find_network(options.network)
    names = ("freeze_epochs", "average_epochs", "batch_size", "base_lr", "seed", "class_weights")
    given: dict[str, Any] = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.weights is not None:
        given["weights"] = parse_weights(options.weights)
    sizes = options.sizes or (options.default_sizes if design.any_size else None)
    if sizes or options.epochs is not None:
        # --epochs alone: the sizes of the design, each once.
        default = ",".join(map(str, dict.fromkeys(design.settings().sizes)))
        given["sizes"] = parse_sizes(sizes or default, options.epochs)
    if options.preprocess is not None:
        given["preprocess"] = parse_preprocess(options.preprocess)
    return design, design.settings(**{**given, **parse_fields(options.set)})


def read_labelled_cells(options: argparse.Namespace) -> "LabelledCells":
    """The cells of a command with their corrected labels; what is left out is printed."""
    from malaria_detect.data.corrections import account, read_corrections
    from malaria_detect.data.labelled_cells import labelled_cells
    from malaria_detect.data.nlm_cells import find_cells

    corrections = read_corrections(options.corrections) if options.corrections else None
    data = labelled_cells(find_cells(options.cells), corrections)
    report_cells(data)
    if corrections is not None:
        print(account([cell.name for cell in data.cells], corrections), file=sys.stderr)
    return data


def scores_in_words(scores: "Scores", who: str) -> str:
    """Accuracy, sensitivity and specificity in words, with interval or counts; `who` are the patients: ``test``."""
    from malaria_detect.metrics.formatting import format_estimate, format_score

    decimals = partial(format_score, decimals=4)
    words = [f"accuracy {format_estimate(scores.estimates['accuracy'], decimals)}"]
    for name in ("sensitivity", "specificity"):
        estimate = scores.estimates[name]
        words.append(f"{name} {decimals(estimate.value)} ({estimate.hits} of {estimate.total} cells)")
    return f"{', '.join(words)} on {scores.patients} {who} patient groups"


def parse_weights(text: str) -> "Weights":
    """The weights that ``--weights`` names: one source, or one for each trunk.

    A file that exists is a file, whatever its name. An unknown trunk raises TrainingError.

    Examples
    --------
    >>> parse_weights("none"), parse_weights("resnet50v2=a.pth,vgg16=b.pth")
    ('none', {'resnet50v2': 'a.pth', 'vgg16': 'b.pth'})
    """
    from malaria_detect.training.pretrained import TRUNKS
    from malaria_detect.training.settings import TrainingError

    if Path(text).is_file() or not re.match(r"\w+=", text):
        return text
    parts = (part.partition("=") for part in text.split(","))
    pairs = {name.strip(): path.strip() for name, _, path in parts}
    if not pairs.keys() <= set(TRUNKS) or not all(pairs.values()):
        raise TrainingError(
            f"Weights must be a file, imagenet, none, or pairs such as vgg16=FILE with {', '.join(TRUNKS)}; got "
            f"{text!r}.",
            "weights",
        )
    return pairs


def parse_sizes(text: str, epochs: str | None = None) -> tuple[int, ...]:
    """The image size of every epoch.

    `text` has sizes in px, each followed by an x and its number of epochs, or alone for one epoch. `epochs`, one number
    for all sizes or one for each, overrides these numbers. What cannot be read raises TrainingError.

    Examples
    --------
    >>> parse_sizes("96x2,224"), parse_sizes("64,96", "2,1"), parse_sizes("64,96", "2")
    ((96, 96, 224), (64, 64, 96), (64, 64, 96, 96))
    """
    from malaria_detect.training.settings import TrainingError

    parts = [re.fullmatch(r"(\d+)(?:x(\d+))?", part.strip()) for part in text.split(",")]
    if not all(parts):
        raise TrainingError(f"Write sizes as px x epochs, such as 96x7,160x3,224x2; got {text!r}.", "sizes")
    sizes = [(int(part[1]), int(part[2] or 1)) for part in parts if part]
    if epochs is not None:
        counts = [count.strip() for count in epochs.split(",")]
        if not all(re.fullmatch(r"\d+", count) for count in counts) or len(counts) not in (1, len(sizes)):
            raise TrainingError(
                f"Give one number of epochs, or one for each of {len(sizes)} sizes, such as 3,4; got {epochs!r}.",
                "epochs",
            )
        given = [int(count) for count in counts] * (len(sizes) if len(counts) == 1 else 1)
        sizes = [(size, count) for (size, _), count in zip(sizes, given, strict=True)]
    return tuple(size for size, count in sizes for _ in range(count))


def parse_fields(words: Sequence[str]) -> dict[str, Any]:
    """Fields of the settings, from ``field=value``; ``epochs`` is the number of epochs at the design's size.

    An unknown field, one that is neither a number nor a word, or a value of another type raises TrainingError.

    Examples
    --------
    >>> parse_fields(["schedule=constant", "patience=5", "weight_decay=1e-4"])
    {'schedule': 'constant', 'patience': 5, 'weight_decay': 0.0001}
    """
    from malaria_detect.training.settings import TrainingError, TrainSettings

    kinds: dict[str, Any] = {one.name: one.type for one in fields(TrainSettings)}
    kinds = {name: kind for name, kind in kinds.items() if kind in (int, float, str)} | {"epochs": int}
    del kinds["network"]  # the design defines it
    read: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if name not in kinds or not equals:
            raise TrainingError(
                f"Write settings as field=value, with one of {', '.join(kinds)}; got {word!r}.",
                "unknown_field",
            )
        try:
            read[name] = kinds[name](value)
        except ValueError as error:
            raise TrainingError(f"The setting {name} must be a number; got {value!r}.", name) from error
    return read
