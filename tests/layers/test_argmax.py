"""ArgMax: hand value, golden values, shapes, ties, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import make_layer, replay_golden

TEXT = 'name:"l" type:"ArgMax" bottom:"x" top:"y" argmax_param{%s}'


@pytest.mark.parametrize("case", ["mlic/argmax_axis", "mlic/argmax_top2", "pspnet/argmax_top2"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def _run(param: str, x: np.ndarray) -> np.ndarray:
    layer = make_layer(TEXT % param, x.shape)
    (y,) = layer.run(torch.tensor(x), device=torch.device("cpu"))
    assert layer.top_shapes(x.shape) == [tuple(y.shape)]
    return y.numpy()


def test_hand_value_of_places_and_numbers():
    x = np.array([[3.0, 9, 5, 7]])
    np.testing.assert_array_equal(_run("top_k:3", x), [[[1, 3, 2]]])
    np.testing.assert_array_equal(_run("top_k:3 out_max_val:true", x), [[[1, 3, 2], [9, 7, 5]]])


@pytest.mark.parametrize("axis", [1, -1])
def test_along_an_axis_against_numpy(axis):
    x = np.random.default_rng(0).standard_normal((2, 3, 5))
    order = np.argsort(-x, axis=axis).take([0, 1], axis=axis)
    np.testing.assert_array_equal(_run(f"axis:{axis} top_k:2", x), order)
    values = np.take_along_axis(x, order, axis=axis)
    np.testing.assert_array_equal(_run(f"axis:{axis} top_k:2 out_max_val:true", x), values)


def test_without_an_axis_each_row_is_flat():
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 5))
    y = _run("top_k:2", x)
    assert y.shape == (2, 1, 2, 1)
    np.testing.assert_array_equal(y[:, 0, 0, 0], x.reshape(2, -1).argmax(axis=1))


def test_of_equal_numbers_the_later_comes_first():
    np.testing.assert_array_equal(_run("top_k:2", np.array([[5.0, 7, 7, 7, 1]])), [[[3, 2]]])


@pytest.mark.parametrize("top_k", [0, 4])
def test_names_a_count_that_does_not_fit(top_k):
    with pytest.raises(caffe.CaffeError, match=rf'"l".*top_k from 1 to 3.*got {top_k}'):
        make_layer(TEXT % f"top_k:{top_k}", (2, 3)).top_shapes((2, 3))
