"""debug_info: the lines, their order and their figures."""

import logging
import re

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import net_from_text

NET = """
name: "small" %s
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "target" type: "Input" top: "t" input_param { shape { dim: 2 dim: 5 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" param { name: "weight" }
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""


def run(tmp_path, caplog, text):
    net = net_from_text(tmp_path, NET % text)
    net.blobs["x"].data[...] = np.random.default_rng(0).standard_normal((2, 3))
    with caplog.at_level(logging.INFO, "caffe"):
        caplog.clear()
        loss = net.forward_backward()
    return net, loss, [record.getMessage() for record in caplog.records]


def test_every_blob_and_gradient_has_a_line(tmp_path, caplog):
    net, loss, lines = run(tmp_path, caplog, "debug_info: true")
    heads = [re.split(r": | = ", line.strip())[0] for line in lines]
    assert heads == [
        "[Forward] Input x data",
        "[Forward] Input t data",
        "[Forward] Layer fc, top blob y data",
        "[Forward] Layer fc, param blob weight data",
        "[Forward] Layer fc, param blob 1 data",
        "[Forward] Layer loss, top blob loss data",
        "[Backward] Layer loss, bottom blob y diff",
        "[Backward] Layer fc, param blob weight diff",
        "[Backward] Layer fc, param blob 1 diff",
        "[Backward] All net params (data, diff)",
    ]
    figures = {head: line.rsplit(" ", 1)[1] for head, line in zip(heads, lines, strict=True)}
    fc = net.params["fc"]
    assert float(figures["[Forward] Layer loss, top blob loss data"]) == pytest.approx(loss, 1e-4)
    weight = float(figures["[Backward] Layer fc, param blob weight diff"])
    assert weight == pytest.approx(np.abs(fc[0].diff).mean(), 1e-4)
    l1 = sum(np.abs(blob.data).sum() for blob in fc), sum(np.abs(blob.diff).sum() for blob in fc)
    assert "L1 norm = ({:g}, {:g})".format(*l1)[:16] in lines[-1]


def test_only_bottoms_that_get_a_gradient_are_listed(tmp_path, caplog):
    _, _, lines = run(tmp_path, caplog, "debug_info: true force_backward: true")
    bottoms = [line.split(", bottom blob ")[1].split()[0] for line in lines if "bottom" in line]
    assert bottoms == ["y", "t", "x"]


def test_it_changes_no_gradient_and_is_off_by_default(tmp_path, caplog):
    loud, _, _ = run(tmp_path, caplog, "debug_info: true")
    quiet, _, lines = run(tmp_path, caplog, "")
    assert lines == []
    quiet.clear_param_diffs()
    quiet.params["fc"][0].data[...] = loud.params["fc"][0].data
    quiet.forward_backward()
    got, want = quiet.params["fc"][0].diff, loud.params["fc"][0].diff
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_looking_at_parameters_leaves_them_where_they_are(tmp_path, caplog, gpu):
    caffe.set_mode_gpu()
    net, _, _ = run(tmp_path, caplog, "debug_info: true")
    for blob in net.params["fc"]:
        assert blob.tensor(gpu) is blob.used[torch.float32]
