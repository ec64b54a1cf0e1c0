"""Numbers on the command line: whole, from 1 on, or one line that says so."""

import argparse

import pytest
import train
from options import natural


def test_whole_numbers_from_one_on():
    assert [natural(text) for text in ("1", "672")] == [1, 672]
    for text in ("0", "-3", "1.5", "many", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="whole number from 1 on"):
            natural(text)


@pytest.mark.parametrize("option", ["--batch-size", "--iterations", "--scales", "--display"])
def test_train_takes_no_other(capsys, option):
    with pytest.raises(SystemExit):
        train.parser().parse_args(["student", option, "0"])
    assert f"argument {option}" in capsys.readouterr().err
