"""Numbers on the command line: whole, from 1 on, or one line that says so."""

import argparse

import pytest
import train
from errors import UserError
from options import check_dataset, natural, one_of


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


def test_a_word_out_of_several(capsys):
    assert one_of(("wsddn", "stage1"))("stage1") == "stage1"
    with pytest.raises(argparse.ArgumentTypeError, match="expected one of a, b, got 'c'"):
        one_of("ab")("c")
    for words in (["stage3"], []):
        with pytest.raises(SystemExit):
            train.parser().parse_args(words)
    assert "expected one of pretrain, wsddn, student, stage1, stage2, got" in (
        capsys.readouterr().err
    )


def test_a_data_set_is_a_folder_with_nets(tmp_path):
    for folder in ("birds/student", "voc/student", "imagenet/alexnet"):
        (tmp_path / folder).mkdir(parents=True)
    check_dataset("birds", str(tmp_path))
    with pytest.raises(UserError, match=f"nets in {tmp_path}/imagenet, where those of birds, voc"):
        check_dataset("imagenet", str(tmp_path))
    with pytest.raises(UserError, match="where those of no data set are; for a set of your own"):
        check_dataset("birds", str(tmp_path / "no"))
