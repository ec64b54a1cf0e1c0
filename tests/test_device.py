"""Nets on a GPU, or what stands for one, and on the CPU in turns."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import relative_error

NET = """
    layer { name: "in" type: "Input" top: "x" top: "label"
            input_param { shape { dim: 2 dim: 3 dim: 7 dim: 5 } shape { dim: 2 } } }
    layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
            convolution_param { num_output: 4 kernel_size: 3 bias_term: false
                                weight_filler { type: "xavier" } } }
    layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
    layer { name: "scale" type: "Scale" bottom: "bn" top: "bn" scale_param { bias_term: true } }
    layer { name: "relu" type: "ReLU" bottom: "bn" top: "bn" }
    layer { name: "again" type: "Convolution" bottom: "x" top: "again" param { name: "w" }
            convolution_param { num_output: 4 kernel_size: 3 bias_term: false
                                weight_filler { type: "xavier" } } }
    layer { name: "more" type: "Convolution" bottom: "x" top: "more" param { name: "w" }
            convolution_param { num_output: 4 kernel_size: 3 bias_term: false } }
    layer { name: "sum" type: "Eltwise" bottom: "bn" bottom: "again" bottom: "more" top: "sum" }
    layer { name: "pool" type: "Pooling" bottom: "sum" top: "pool"
            pooling_param { kernel_size: 2 stride: 2 } }
    layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
            inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
    layer { name: "double" type: "Python" bottom: "fc" top: "double"
            python_param { module: "tests.test_device" layer: "Double" } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "double" bottom: "label" top: "loss" }
"""


class Double(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 2 * top[0].diff


def solver(tmp_path) -> caffe.SGDSolver:
    (tmp_path / "net.prototxt").write_text(NET)
    text = 'net: "net.prototxt" base_lr: 0.1 momentum: 0.9 weight_decay: 0.01 lr_policy: "fixed"'
    path = tmp_path / "solver.prototxt"
    path.write_text(text.replace("net.prototxt", str(tmp_path / "net.prototxt")))
    caffe.set_random_seed(3)
    made = caffe.get_solver(str(path))
    rng = np.random.default_rng(5)
    made.net.blobs["x"].data[...] = rng.standard_normal((2, 3, 7, 5))
    made.net.blobs["label"].data[...] = [4, 1]
    return made


def numbers(net: caffe.Net) -> dict[str, np.ndarray]:
    params = {f"{n} {i}": b.data for n, blobs in net.params.items() for i, b in enumerate(blobs)}
    return params | {name: blob.data for name, blob in net.blobs.items()}


def check_same(net: caffe.Net, other: caffe.Net) -> None:
    theirs = numbers(other)
    for name, mine in numbers(net).items():
        assert relative_error(mine, theirs[name]) <= 1e-5, name


def test_it_is_another_device(gpu):
    tensor = torch.ones(2, device=gpu)
    with pytest.raises(RuntimeError, match="device"):
        tensor + torch.ones(2)
    with pytest.raises(RuntimeError, match="device"):
        torch.nn.functional.linear(tensor, torch.ones(3, 2))
    with pytest.raises(TypeError, match="numpy"):
        tensor.numpy()


@pytest.mark.parametrize("seen", [False, True])
def test_a_net_may_change_devices_between_passes(tmp_path, gpu, seen):
    """With and without numpy views that the user has looked at, and written into."""
    stays, moves = solver(tmp_path), solver(tmp_path)
    modes = [caffe.set_mode_cpu, caffe.set_mode_gpu, caffe.set_mode_gpu] * 2
    for mode in modes:
        caffe.set_mode_cpu()
        stays.step(1)
        mode()
        moves.step(1)
        if seen:
            check_same(moves.net, stays.net)
            for net in (stays.net, moves.net):
                net.blobs["x"].data[0, 0] *= -1
                net.params["fc"][0].data[1] += 0.5
    moves.net.forward()
    stays.net.forward()
    check_same(moves.net, stays.net)


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_pass_may_go_on_where_another_device_ended(tmp_path, gpu, where):
    stays, moves = solver(tmp_path).net, solver(tmp_path).net
    stays.forward()
    stays.backward()
    caffe.set_mode_gpu()
    moves.forward(end="sum")
    if where == "forward":
        caffe.set_mode_cpu()
    moves.forward(start="pool")
    moves.backward(end="pool")
    caffe.set_mode_cpu()
    moves.backward(start="sum")
    for name, blob in stays.blobs.items():
        assert relative_error(moves.blobs[name].data, blob.data) <= 1e-5, name
        assert relative_error(moves.blobs[name].diff, blob.diff) <= 1e-5, name
