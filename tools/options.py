"""What several commands' options share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from errors import UserError

# The student's backbones beside VGG16: the folder of their nets, and of their results, and a title.
BACKBONES = {"mobilenet_v1": "MobileNet v1", "resnet18": "ResNet-18"}


def add_backbone_option(parser: argparse.ArgumentParser) -> None:
    """--backbone, which `backbone_folder` understands."""
    names = ("vgg16", *BACKBONES)
    parser.add_argument(
        "--backbone", choices=names, default="vgg16", help="the student's (default: vgg16)"
    )


def backbone_folder(backbone: str) -> str:
    """The folder's name; VGG16's students have none of their own."""
    return backbone if backbone in BACKBONES else ""


def natural(text: str) -> int:
    """An option's whole number from 1 on; argparse answers anything else in one line."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return number


def check_dataset(name: str, models: str = "models") -> None:
    """UserError naming the data sets there are unless models/<name> has a data set's nets."""
    known = sorted(path.parent.name for path in Path(models).glob("*/student"))
    if name not in known:
        raise UserError(
            f"--dataset: expected nets in {models}/{name}, where those of "
            f"{', '.join(known) or 'no data set'} are; for a set of your own write them: "
            "python models/generate.py --help"
        )


def one_of(words: Sequence[str]) -> Callable[[str], str]:
    """An option's word out of these: argparse's `choices`, which refuse that none is given."""

    def parse(text: str) -> str:
        if text not in words:
            raise argparse.ArgumentTypeError(f"expected one of {', '.join(words)}, got {text!r}")
        return text

    return parse
