"""ParamTable: parameters shared by name, and what their `param` blocks say together."""

import numpy as np
import pytest

import caffe
from tests.layer_checks import net_from_text, relative_error

NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
  param { name: "w" %s } param { name: "b" }
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" } } }
layer { name: "c" type: "InnerProduct" bottom: "a" top: "c"
  param { name: "w" %s } param { name: "b" }
  inner_product_param { num_output: %d } }
"""


def test_gradients_of_a_shared_parameter_add_up(tmp_path):
    net = net_from_text(tmp_path, NET % ("", "", 3))
    assert net.params["a"][0] is net.params["c"][0]
    assert len(net.learnable()) == 2
    net.blobs["x"].data[...] = np.random.default_rng(0).standard_normal((2, 3))
    net.forward()
    net.backward(c=np.ones((2, 3)))
    w, a = net.params["a"][0], net.blobs["a"].data
    through = np.ones((2, 3)).T @ a + (np.ones((2, 3)) @ w.data).T @ net.blobs["x"].data
    assert relative_error(w.diff, through) < 1e-6


def test_each_layer_adds_its_own_part_of_the_gradient(tmp_path):
    net = net_from_text(tmp_path, NET % ("", "", 3))
    net.blobs["x"].data[...] = np.random.default_rng(0).standard_normal((2, 3))
    net.forward()
    w, a = net.params["a"][0], net.blobs["a"].data
    net.backward(start="c", end="c", c=np.ones((2, 3)))
    own = np.ones((2, 3)).T @ a
    assert relative_error(w.diff, own) < 1e-6
    net.backward(start="a")
    assert relative_error(w.diff, own + (np.ones((2, 3)) @ w.data).T @ net.blobs["x"].data) < 1e-6


def test_callbacks_around_backward_do_not_change_a_shared_gradient(tmp_path):
    net = net_from_text(tmp_path, NET % ("", "", 3))
    net.blobs["x"].data[...] = np.random.default_rng(0).standard_normal((2, 3))
    net.forward()
    net.backward(c=np.ones((2, 3)))
    expected = net.params["a"][0].diff.copy()
    net.clear_param_diffs()
    net.after_backward(lambda layer: None)
    net.backward(c=np.ones((2, 3)))
    assert relative_error(net.params["a"][0].diff, expected) < 1e-6


@pytest.mark.parametrize("mode", ["", "share_mode: PERMISSIVE"])
def test_another_count_is_an_error(tmp_path, mode):
    with pytest.raises(caffe.CaffeError, match=r'layer "c".*param "w" is shared.*\(3, 3\)'):
        net_from_text(tmp_path, NET % ("", mode, 4))


PERMISSIVE = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 1 dim: 1 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc" param { name: "w" }
  inner_product_param { num_output: 5 bias_term: false weight_filler { type: "gaussian" } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" param { name: "w" %s }
  convolution_param { num_output: 5 bias_term: false kernel_size: 1 } }
"""


def test_permissive_sharing_keeps_each_layers_shape(tmp_path):
    net = net_from_text(tmp_path, PERMISSIVE % "share_mode: PERMISSIVE")
    fc, conv = net.params["fc"][0], net.params["conv"][0]
    assert (fc.shape, conv.shape) == ((5, 3), (5, 3, 1, 1))
    assert [blob is fc for blob, _ in net.learnable()] == [True]
    conv.data[4, 2] = 7
    assert fc.data[4, 2] == 7
    x = net.blobs["x"].data
    x[...] = np.random.default_rng(0).standard_normal(x.shape)
    net.forward()
    assert relative_error(net.blobs["conv"].data[..., 0, 0], net.blobs["fc"].data) < 1e-6
    net.backward(fc=np.ones((2, 5)), conv=np.full((2, 5, 1, 1), 10))
    assert relative_error(fc.diff, np.tile(11 * x[..., 0, 0].sum(0), (5, 1))) < 1e-6
    np.testing.assert_array_equal(conv.diff[..., 0, 0], fc.diff)


def test_strict_sharing_wants_the_shape(tmp_path):
    with pytest.raises(caffe.CaffeError, match=r"\(5, 3\) of its owner, or share_mode: PERMISSIVE"):
        net_from_text(tmp_path, PERMISSIVE % "")


@pytest.mark.parametrize(
    ("owner", "sharer"), [("lr_mult: 0.5", ""), ("", "lr_mult: 0.5"), ("lr_mult: 0.5",) * 2]
)
def test_either_may_say_how_fast_it_learns(tmp_path, owner, sharer):
    net = net_from_text(tmp_path, NET % (owner, sharer, 3))
    assert [spec.lr_mult for _, spec in net.learnable()] == [0.5, 1]


def test_a_sharer_can_freeze_the_parameter(tmp_path):
    net = net_from_text(tmp_path, NET % ("", "lr_mult: 0", 3))
    net.blobs["x"].data[...] = 1
    net.forward()
    net.backward(c=np.ones((2, 3)))
    assert not net.params["a"][0].diff.any()
    assert net.params["a"][1].diff.any()


@pytest.mark.parametrize("field", ["lr_mult", "decay_mult"])
def test_they_may_not_disagree(tmp_path, field):
    with pytest.raises(
        caffe.CaffeError, match=rf'"c".*"w".*expected {field} 2 of its owner, got 3'
    ):
        net_from_text(tmp_path, NET % (f"{field}: 2", f"{field}: 3", 3))


def test_more_param_than_blobs(tmp_path):
    text = PERMISSIVE.replace('param { name: "w" }\n', "param { } param { }\n") % ""
    with pytest.raises(caffe.CaffeError, match=r'layer "fc".*expected at most 1 param, got 2'):
        net_from_text(tmp_path, text)
