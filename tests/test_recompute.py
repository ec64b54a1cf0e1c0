"""recompute: the same gradients from a fraction of what is kept."""

import numpy as np
import torch

import caffe
from caffe.recompute import stretches
from tests.layer_checks import net_from_text
from tests.solver_checks import write_solver

CONV = """
layer {{ name: "conv{0}" type: "Convolution" bottom: "{1}" top: "conv{0}"
  convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 weight_filler {{ type: "msra" }} }} }}
layer {{ name: "relu{0}" type: "ReLU" bottom: "conv{0}" top: "conv{0}" }}
"""
POOL = """
layer {{ name: "pool{0}" type: "Pooling" bottom: "conv{0}" top: "pool{0}"
  pooling_param {{ kernel_size: 2 stride: 2 }} }}
"""
STAGES = "".join(
    CONV.format(f"{i}_1", f"pool{i - 1}_2" if i > 1 else "x")
    + CONV.format(f"{i}_2", f"conv{i}_1")
    + POOL.format(f"{i}_2")
    for i in (1, 2, 3)
)
NET = (
    """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 19 dim: 13 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 5 } } }
"""
    + STAGES
    + """
layer { name: "drop" type: "Dropout" bottom: "pool3_2" top: "drop" }
layer { name: "fc" type: "InnerProduct" bottom: "drop" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "skip" type: "Reduction" bottom: "conv2_2" top: "skip" loss_weight: 0.001 }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "t" top: "loss" }
"""
)


def trained(tmp_path, recompute):
    """The net after one training pass, its loss, and how many bytes autograd kept for backward."""
    caffe.set_random_seed(3)
    net = net_from_text(tmp_path, NET)
    rng = np.random.default_rng(1)
    net.blobs["x"].data[...] = rng.standard_normal((2, 3, 19, 13))
    net.blobs["t"].data[...] = rng.standard_normal((2, 5))
    net.recompute = recompute
    kept: dict[int, int] = {}

    def pack(tensor):
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    caffe.set_random_seed(4)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = net.forward_backward()
    return net, loss, sum(kept.values())


def test_gradients_and_losses_are_the_same_dropout_included(tmp_path):
    plain, loss, kept = trained(tmp_path, recompute=False)
    again, loss_again, kept_again = trained(tmp_path, recompute=True)
    assert loss_again == loss
    assert kept_again < 0.7 * kept
    for name, blobs in plain.params.items():
        for blob, other in zip(blobs, again.params[name], strict=True):
            assert blob.diff.any()
            np.testing.assert_allclose(other.diff, blob.diff, rtol=1e-5, atol=1e-7)


def test_blobs_that_leave_a_stretch_keep_their_numbers(tmp_path):
    plain, _, _ = trained(tmp_path, recompute=False)
    again, _, _ = trained(tmp_path, recompute=True)
    for name in ("x", "pool1_2", "pool2_2", "fc", "loss", "skip"):
        np.testing.assert_array_equal(again.blobs[name].data, plain.blobs[name].data)
    assert not again.blobs["conv1_1"].data.any()


def test_what_was_forgotten_is_there_again_after_a_plain_pass(tmp_path):
    net, _, _ = trained(tmp_path, recompute=True)
    net.forward()
    plain, _, _ = trained(tmp_path, recompute=False)
    np.testing.assert_array_equal(net.blobs["conv1_1"].data, plain.blobs["conv1_1"].data)
    net.backward()
    assert net.blobs["conv1_1"].diff.any()


def test_a_view_that_was_handed_out_stays_allowed(tmp_path):
    net = net_from_text(tmp_path, NET)
    net.forward()
    view = net.blobs["conv1_1"].data
    net.recompute = True
    net.forward_backward()
    assert net.blobs["conv1_1"].data is view


def test_stretches_are_vggs_stages(tmp_path):
    net = net_from_text(tmp_path, NET)
    names = [[net._layer_names[i] for i in stretch] for stretch in stretches(net._layers)]
    assert [name for stretch in names for name in stretch] == net._layer_names
    assert names[:3] == [["in"], ["t"], ["conv1_1", "relu1_1", "conv1_2", "relu1_2"]]


def test_layers_with_side_effects_run_once(tmp_path):
    text = NET.replace(
        'type: "Dropout" bottom: "pool3_2" top: "drop"',
        'type: "BatchNorm" bottom: "pool3_2" top: "drop"',
    )
    net = net_from_text(tmp_path, text)
    net.blobs["x"].data[...] = np.random.default_rng(1).standard_normal((2, 3, 19, 13))
    net.recompute = True
    net.forward_backward()
    assert net.params["drop"][2].data.item() == 1  # one batch counted


def test_a_solver_trains_with_it_as_without(tmp_path):
    trained = []
    for recompute in (False, True):
        solver = caffe.get_solver(
            write_solver(tmp_path, 'base_lr: 0.01 lr_policy: "fixed" random_seed: 5', net=NET)
        )
        solver.net.blobs["x"].data[...] = 1
        solver.net.recompute = recompute
        before = solver.net.params["conv1_1"][0].data.copy()
        solver.step(3)
        trained.append(solver.net.params["conv1_1"][0].data - before)
    assert trained[0].any()
    np.testing.assert_allclose(trained[1], trained[0], rtol=1e-4, atol=1e-8)
