"""parse_log: the tables of the original script, from logs of Caffe's form."""

import csv
import math

import pytest

from caffe import CaffeError
from caffe.commands import parse_log

LOG = """\
Log file created at: 2026/12/31 23:59:58
I1231 23:59:58.000000  4711 caffe.cpp:218] Using GPUs 0
I1231 23:59:58.500000  4711 solver.cpp:279] Solving LeNet
I1231 23:59:58.500000  4711 solver.cpp:280] Learning Rate Policy: inv
I1231 23:59:59.000000  4711 solver.cpp:337] Iteration 0, Testing net (#0)
I1231 23:59:59.250000  4711 solver.cpp:404]     Test net output #0: accuracy = 0.0625
I1231 23:59:59.250000  4711 solver.cpp:404]     Test net output #1: loss = 2.5 (* 1 = 2.5 loss)
I1231 23:59:59.500000  4711 solver.cpp:228] Iteration 0, loss = 2.5
I1231 23:59:59.500000  4711 solver.cpp:244]     Train net output #0: loss = 2.5 (* 1 = 2.5 loss)
I1231 23:59:59.500000  4711 sgd_solver.cpp:106] Iteration 0, lr = 0.01
I0101 00:00:03.500000  4711 solver.cpp:228] Iteration 20 (5 iter/s, 4s/20 iters), loss = 1.25
I0101 00:00:03.500000  4711 solver.cpp:244]     Train net output #0: loss = nan (* 1 = nan loss)
I0101 00:00:03.500000  4711 sgd_solver.cpp:106] Iteration 20, lr = 9.9e-03
*** a line of somebody else's with Iteration 7 in it
I0101 00:00:07.750000  4711 solver.cpp:228] Iteration 40 (5 iter/s, 4s/20 iters), loss = 1.25
I0101 00:00:07.750000  4711 solver.cpp:244]     Train net output #0: loss = 1.5 (* 1 = 1.5 loss)
I0101 00:00:08.500000  4711 solver.cpp:337] Iteration 40, Testing net (#0)
I0101 00:00:08.500000  4711 solver.cpp:404]     Test net output #0: accuracy = 0.75
I0101 00:00:08.500000  4711 solver.cpp:404]     Test net output #1: loss = 1.5 (* 1 = 1.5 loss)
I0101 00:00:09.500000  4711 solver.cpp:337] Iteration 60, Testing net (#0)
I0101 00:00:09.500000  4711 solver.cpp:404]     Test net output #0: accuracy = 0.875
"""
TRAIN = [(0, 1, 0.01, 2.5), (20, 5, 0.01, math.nan), (40, 9.25, 0.0099, 1.5)]
TEST = [(0, 0.75, 0.0099, 0.0625, 2.5), (40, 10, 0.0099, 0.75, 1.5)]


def _write(folder, text: str = LOG) -> str:
    path = folder / "train.log"
    path.write_text(text)
    return str(path)


def test_rows_of_training_and_testing(tmp_path):
    train, test = parse_log.parse_log(_write(tmp_path))
    assert list(train[0]) == ["NumIters", "Seconds", "LearningRate", "loss"]
    assert list(test[0]) == ["NumIters", "Seconds", "LearningRate", "accuracy", "loss"]
    for rows, expected in ((train, TRAIN), (test, TEST)):
        assert len(rows) == len(expected)
        for row, values in zip(rows, expected, strict=True):
            assert tuple(row.values()) == pytest.approx(values, nan_ok=True)


def test_writes_both_tables(tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    assert parse_log.main(["--verbose", "--delimiter", ";", _write(tmp_path), str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [f"Wrote {out}/train.log.train", f"Wrote {out}/train.log.test"]
    with open(out / "train.log.test", newline="") as file:
        lines = list(csv.reader(file, delimiter=";"))
    assert lines[0] == ["NumIters", "Seconds", "LearningRate", "accuracy", "loss"]
    assert lines[2] == ["40.0", "10.0", "0.0099", "0.75", "1.5"]


def test_a_leap_day_needs_no_leap_year(tmp_path):
    text = LOG.replace("I1231", "I0228").replace("I0101", "I0229")
    train, _ = parse_log.parse_log(_write(tmp_path, text))
    assert [row["Seconds"] for row in train] == [1, 5, 9.25]


def test_a_log_without_tests_leaves_only_one_table(tmp_path, capsys):
    text = "".join(line for line in LOG.splitlines(True) if "Test" not in line)
    assert parse_log.main([_write(tmp_path, text), str(tmp_path), "--verbose"]) == 0
    assert "Not writing" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.log", "train.log.train"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"train\.log: expected lines like .*, found none"),
        ("I0230 23:59:61.000000 7 solver.cpp:1] Iteration 0\n", r"train\.log: expected lines like"),
    ],
)
def test_no_log_at_all(tmp_path, text, message):
    with pytest.raises(CaffeError, match=message):
        parse_log.parse_log(_write(tmp_path, text))
    with pytest.raises(CaffeError, match=r"nix\.log: cannot read"):
        parse_log.parse_log(tmp_path / "nix.log")


@pytest.mark.parametrize(
    ("size", "args", "message"),
    [
        (-1, ["LOG/out"], "train.log/out/train.log.train: cannot write: Not a directory"),
        (-1, [".", "--delimiter", ", "], "expected one character"),
        (300, ["."], "no outputs of a net in it; is `display` set?"),
    ],
)
def test_mistakes_are_one_line_and_code_1(tmp_path, capsys, size, args, message):
    log = _write(tmp_path, LOG[:size])
    assert parse_log.main([log, *(word.replace("LOG", log) for word in args)]) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
