"""teacher_memory.py: a pass of the teacher, and the line about it."""

import re

import teacher_memory


def test_one_line_says_how_long_and_how_much(capsys):
    small = ["--batch-size", "1", "--size", "48"]
    assert teacher_memory.main([*small, "--precision", "bf16", "--recompute"]) == 0
    said = capsys.readouterr().out
    pattern = r"bf16, recompute: \d+\.\d s a pass, peak memory (\S+) GiB, before it (\S+) GiB\n"
    peak, before = map(float, re.match(pattern, said).groups())
    assert 0.5 < before <= peak  # the weights alone are half a GiB


def test_noise_fills_the_inputs():
    options = teacher_memory.parser().parse_args(["--batch-size", "2", "--size", "48"])
    net = teacher_memory.make_net(options)
    rois = net.blobs["rois"].data
    assert rois.shape == (1000, 6)
    assert rois[:, 0].tolist() == [0] * 500 + [1] * 500
    assert (rois[:, 1:3] <= rois[:, 3:5]).all()
    assert net.blobs["data"].data.shape == (2, 3, 48, 48)
    assert net.blobs["data"].data.std() > 10
