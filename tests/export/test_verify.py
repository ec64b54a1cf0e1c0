"""What an exported file is compared on, and how."""

import numpy as np
import pytest

from caffe.export import verify
from tests.export.layer_cases import BOTH, ONNX_ALONE, net

IN = 'layer{name:"in" type:"Input" top:"x" input_param{shape{dim:4 dim:6}}}'


def test_normal_numbers_another_time_others():
    made = net(IN + 'layer{name:"y" type:"AbsVal" bottom:"x" top:"y"}')
    (name, x), *rest = verify.examples(made, seed=0).items()
    assert (name, x.shape, x.dtype, rest) == ("x", (4, 6), np.float32, [])
    assert x.min() < 0 < x.max()
    assert np.array_equal(verify.examples(made, seed=0)["x"], x)
    assert not np.array_equal(verify.examples(made, seed=1)["x"], x)


def test_rois_are_boxes_also_behind_a_split_and_a_reshape():
    pool = "roi_pooling_param{pooled_h:2 pooled_w:3 spatial_scale:0.1}"
    text = """layer{name:"m" type:"Input" top:"m" input_param{shape{dim:1 dim:3 dim:9 dim:8}}}
      layer{name:"r" type:"Reshape" bottom:"x" top:"r" reshape_param{shape{dim:4 dim:6}}}"""
    for top in "yz":
        text += f'layer{{name:"{top}" type:"ROIPooling" bottom:"m" bottom:"r" top:"{top}" {pool}}}'
    rois = verify.examples(net(IN + text), seed=0)["x"]
    assert not rois[:, 0].any()
    assert (rois[:, 1:3] < rois[:, 3:5]).all()
    assert ((rois[:, 5] > 0) & (rois[:, 5] < 1)).all()


@pytest.mark.parametrize("case", BOTH + ONNX_ALONE, ids=lambda case: f"{case.type} {case.fields}")
def test_every_layer_takes_what_it_is_fed(case):
    made = case.net()
    made.forward(**verify.examples(made, seed=3))


def test_differences_are_relative_to_the_largest_number():
    made = net(IN + 'layer{name:"y" type:"Power" bottom:"x" top:"y" power_param{scale:10}}')
    x = np.arange(24, dtype=np.float32).reshape(4, 6) - 30
    got = 10 * x
    got[2, 1] += 3
    assert verify.differences(made, {"x": x}, {"y": got}) == {"y": pytest.approx(0.01)}
    assert verify.differences(made, {"x": x}, {"y": 10 * x[1:]}) == {"y": np.inf}


def test_nan_is_equal_only_to_nan():
    made = net(IN + 'layer{name:"y" type:"Log" bottom:"x" top:"y"}')
    x = np.ones((4, 6), np.float32)
    x[1, 2] = -1
    want = np.zeros((4, 6), np.float32)
    want[1, 2] = np.nan
    assert verify.differences(made, {"x": x}, {"y": want}) == {"y": 0}
    want[3, 3] = np.nan
    assert verify.differences(made, {"x": x}, {"y": want}) == {"y": np.inf}
