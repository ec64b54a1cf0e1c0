"""What several commands' options share."""

from __future__ import annotations

import argparse


def natural(text: str) -> int:
    """An option's whole number from 1 on; argparse answers anything else in one line."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return number
