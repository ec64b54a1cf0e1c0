"""training_memory.py: a pass of a stage, what it took and what was counted for it."""

import re

import pytest
import training_memory

SMALL = ["wsddn", "--dataset", "demo", "--batch-size", "3", "--size", "48"]


def test_lines_say_how_long_how_much_and_how_much_was_counted(capsys):
    assert training_memory.main([*SMALL, "--precision", "bf16", "--recompute"]) == 0
    said = capsys.readouterr().out
    pattern = r"bf16, recompute: \d+\.\d s a pass, peak memory (\S+) GiB\nbeside (\S+) GiB "
    peak, program = map(float, re.match(pattern, said).groups())
    assert 0.1 < program <= peak
    assert re.search(r": \S+ GiB measured, 0\.0\d GiB counted, \S+ times as much\n", said)


@pytest.mark.parametrize("stage", ["wsddn", "stage1", "student"])
def test_noise_fills_the_inputs(stage):
    options = training_memory.parser().parse_args([stage, *SMALL[1:]])
    net = training_memory.make_net(options)
    assert net.blobs["data"].data.shape == (3, 3, 48, 48)
    assert net.blobs["data"].data.std() > 10
    assert set(net.blobs["label"].data.ravel()) == {0, 1}
    sizes = {"rois": (64, 48), "rois_teacher": (8, 48), "rois_student": (8, 96)}
    for name in set(sizes) & set(net.blobs):
        rois, (count, side) = net.blobs[name].data, sizes[name]
        assert rois[:, 0].tolist() == [0] * count + [1] * count + [2] * count
        assert (rois[:, 1:3] <= rois[:, 3:5]).all()
        assert 0 <= rois[:, 1:5].min() <= side / 2 < rois[:, 1:5].max() < side
