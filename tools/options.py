"""What several commands' options share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from errors import UserError


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
