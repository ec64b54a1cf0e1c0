"""Programs as people have written them for pycaffe: they must run here without a change.

Each is the core of a kind of program that is common: fully convolutional surgery, a training loop
around a Python data layer, deep dream, feature visualisation, fine-tuning with a frozen part.
"""

import os

import google.protobuf as pb2
import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.proto import caffe_pb2
from tests.layer_checks import net_from_text, relative_error


class RoIDataLayer(caffe.Layer):
    """Batches of another size each time, from a list that the training program sets."""

    def set_roidb(self, roidb):
        self._roidb, self._next = roidb, 0

    def setup(self, bottom, top):
        self._classes = int(eval(self.param_str)["num_classes"])
        self._name_to_top_map = {"data": 0, "rois": 1, "labels": 2}
        top[0].reshape(1, 3, 8, 8)
        top[1].reshape(1, 5)
        top[2].reshape(1)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        blobs = self._roidb[self._next % len(self._roidb)]
        self._next += 1
        for name, blob in blobs.items():
            index = self._name_to_top_map[name]
            top[index].reshape(*(blob.shape))
            top[index].data[...] = blob.astype(np.float32, copy=False)

    def backward(self, top, propagate_down, bottom):
        pass


FAST_RCNN = """
name: "small"
layer { name: "data" type: "Python" top: "data" top: "rois" top: "labels"
  python_param { module: "tests.test_pycaffe_programs" layer: "RoIDataLayer"
                 param_str: "{'num_classes': 3}" } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 0 }
  param { lr_mult: 0 } convolution_param { num_output: 4 kernel_size: 3 pad: 1
  weight_filler { type: "xavier" } } }
layer { name: "roi_pool" type: "ROIPooling" bottom: "conv" bottom: "rois" top: "pool"
  roi_pooling_param { pooled_w: 2 pooled_h: 2 spatial_scale: 1.0 score_scale: 0 score_bias: 1 } }
layer { name: "cls_score" type: "InnerProduct" bottom: "pool" top: "cls_score"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "loss_cls" type: "SoftmaxWithLoss" bottom: "cls_score" bottom: "labels"
  top: "loss_cls" loss_weight: 1 }
"""


def roidb():
    """Images of several sizes, with boxes on a bright patch of one of three colours."""
    rng = np.random.default_rng(0)
    entries = []
    for height, count in ((8, 2), (10, 5), (9, 3)):
        data = rng.normal(0, 0.1, (1, 3, height, 12))
        labels = rng.integers(0, 3, count)
        rois = np.zeros((count, 5))
        for i, label in enumerate(labels):
            x, y = 2 * i % 9, 3 * i % (height - 2)
            data[0, :, y : y + 2, x : x + 2] = 0
            data[0, label, y : y + 2, x : x + 2] = 5
            rois[i, 1:] = x, y, x + 1, y + 1
        entries.append({"data": data, "rois": np.c_[rois, np.ones(count)], "labels": labels})
    return entries


class SolverWrapper:
    """The shape of every program derived from Fast R-CNN's trainer."""

    def __init__(self, solver_prototxt, roidb, output_dir, pretrained_model=None):
        self.output_dir = output_dir
        self.solver = caffe.SGDSolver(solver_prototxt)
        if pretrained_model is not None:
            self.solver.net.copy_from(pretrained_model)
        self.solver_param = caffe_pb2.SolverParameter()
        with open(solver_prototxt) as f:
            pb2.text_format.Merge(f.read(), self.solver_param)
        self.solver.net.layers[0].set_roidb(roidb)

    def snapshot(self):
        net = self.solver.net
        scaled = net.params["cls_score"][0].data.copy()
        net.params["cls_score"][0].data[...] = scaled * 2
        filename = f"{self.solver_param.snapshot_prefix}_iter_{self.solver.iter:d}.caffemodel"
        filename = os.path.join(self.output_dir, filename)
        net.save(str(filename))
        net.params["cls_score"][0].data[...] = scaled
        return filename

    def train_model(self, max_iters):
        last_snapshot_iter = -1
        model_paths = []
        while self.solver.iter < max_iters:
            self.solver.step(1)
            if self.solver.iter % 20 == 0:
                last_snapshot_iter = self.solver.iter
                model_paths.append(self.snapshot())
        if last_snapshot_iter != self.solver.iter:
            model_paths.append(self.snapshot())
        return model_paths


def test_a_trainer_around_a_python_data_layer(tmp_path):
    (tmp_path / "train.prototxt").write_text(FAST_RCNN)
    (tmp_path / "solver.prototxt").write_text(
        f'train_net: "{tmp_path}/train.prototxt" base_lr: 0.05 lr_policy: "step" gamma: 0.1 '
        "stepsize: 1000 display: 20 average_loss: 10 momentum: 0.9 weight_decay: 0.0005 "
        'snapshot: 0 snapshot_prefix: "small"'
    )
    caffe.set_random_seed(3)
    wrapper = SolverWrapper(str(tmp_path / "solver.prototxt"), roidb(), str(tmp_path))
    frozen = wrapper.solver.net.params["conv"][0].data.copy()
    paths = wrapper.train_model(70)
    assert [os.path.basename(path) for path in paths] == [
        f"small_iter_{i}.caffemodel" for i in (20, 40, 60, 70)
    ]
    net = wrapper.solver.net
    np.testing.assert_array_equal(net.params["conv"][0].data, frozen)
    right = total = 0
    for _ in range(3):
        net.forward()
        assert net.blobs["cls_score"].data.shape == (len(net.blobs["labels"].data), 3)
        right += (net.blobs["cls_score"].data.argmax(1) == net.blobs["labels"].data).sum()
        total += len(net.blobs["labels"].data)
    assert (right, total) == (10, 10)
    again = caffe.Net(str(tmp_path / "train.prototxt"), paths[-1], caffe.TEST)
    saved, kept = again.params["cls_score"][0].data, net.params["cls_score"][0].data
    np.testing.assert_allclose(saved, 2 * kept)


CLASSIFIER = """
name: "classifier" force_backward: true
input: "data" input_dim: 1 input_dim: 3 input_dim: 6 input_dim: 6
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
"""
FC = """
layer { name: "fc6" type: "InnerProduct" bottom: "pool" top: "fc6"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc6" top: "prob" }
"""
FC_CONV = """
layer { name: "fc6-conv" type: "Convolution" bottom: "pool" top: "fc6-conv"
  convolution_param { num_output: 5 kernel_size: 2 } }
layer { name: "prob" type: "Softmax" bottom: "fc6-conv" top: "prob" }
"""


def test_net_surgery_to_a_fully_convolutional_net(tmp_path):
    weights = str(tmp_path / "bvlc.caffemodel")
    net = net_from_text(tmp_path, CLASSIFIER + FC, caffe.TEST)
    net.save(weights)
    params = ["fc6"]
    fc_params = {pr: (net.params[pr][0].data, net.params[pr][1].data) for pr in params}
    (tmp_path / "full.prototxt").write_text(
        CLASSIFIER.replace("input_dim: 6", "input_dim: 10") + FC_CONV
    )
    net_full_conv = caffe.Net(str(tmp_path / "full.prototxt"), weights, caffe.TEST)
    params_full_conv = ["fc6-conv"]
    conv_params = {
        pr: (net_full_conv.params[pr][0].data, net_full_conv.params[pr][1].data)
        for pr in params_full_conv
    }
    for pr, pr_conv in zip(params, params_full_conv, strict=True):
        conv_params[pr_conv][0].flat = fc_params[pr][0].flat
        conv_params[pr_conv][1][...] = fc_params[pr][1]
    image = np.random.default_rng(0).random((1, 3, 10, 10))
    out = net_full_conv.forward_all(data=np.asarray([image[0]]))
    assert out["prob"].shape == (1, 5, 3, 3)
    for row, column in ((0, 0), (1, 2)):
        y, x = 2 * row, 2 * column
        small = net.forward(data=image[:, :, y : y + 6, x : x + 6])["prob"]
        assert relative_error(out["prob"][0, :, row, column], small[0]) < 1e-5


def objective_l2(dst):
    dst.diff[:] = dst.data


def make_step(net, step_size=1.5, end="conv", objective=objective_l2):
    """One step of gradient ascent on the image, as deep dream takes it."""
    src = net.blobs["data"]
    dst = net.blobs[end]
    net.forward(end=end)
    objective(dst)
    net.backward(start=end)
    g = src.diff[0]
    src.data[:] += step_size / np.abs(g).mean() * g


def test_deep_dream(tmp_path):
    net = net_from_text(tmp_path, CLASSIFIER + FC, caffe.TEST)
    src = net.blobs["data"]
    src.reshape(1, 3, 9, 7)
    src.data[0] = np.random.default_rng(0).random((3, 9, 7))
    energies = []
    for _ in range(5):
        make_step(net, step_size=0.05)
        energies.append(float((net.blobs["conv"].data ** 2).sum()))
    assert net.blobs["conv"].data.shape == (1, 4, 7, 5)
    assert energies == sorted(energies)
    assert energies[-1] > 1.5 * energies[0]


def lenet(batch_size):
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(
        shape=[dict(dim=[batch_size, 1, 8, 8]), dict(dim=[batch_size])],
        data_filler=[dict(type="gaussian", std=1), dict(type="constant", value=2)],
        ntop=2,
    )
    n.conv1 = L.Convolution(n.data, kernel_size=3, num_output=4, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool1, num_output=6, weight_filler=dict(type="xavier"))
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=3, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    n.acc = L.Accuracy(n.score, n.label, include=dict(phase=caffe.TEST))
    return n.to_proto()


def test_a_net_spec_solved_and_tested_by_hand(tmp_path):
    for name, batch in (("train", 8), ("test", 5)):
        with open(tmp_path / f"{name}.prototxt", "w") as f:
            f.write(str(lenet(batch)))
    s = caffe_pb2.SolverParameter()
    s.train_net = str(tmp_path / "train.prototxt")
    s.test_net.append(str(tmp_path / "test.prototxt"))
    s.test_interval = 500
    s.test_iter.append(100)
    s.max_iter, s.type, s.base_lr, s.momentum = 100, "SGD", 0.1, 0.9
    s.lr_policy, s.gamma, s.power = "inv", 0.0001, 0.75
    s.solver_mode = caffe_pb2.SolverParameter.CPU
    with open(tmp_path / "solver.prototxt", "w") as f:
        f.write(str(s))
    caffe.set_mode_cpu()
    solver = None
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    shapes = [(k, v.data.shape) for k, v in solver.net.blobs.items()]
    assert ("fc1", (8, 6)) in shapes
    assert [(k, v[0].data.shape) for k, v in solver.net.params.items()][0] == (
        "conv1",
        (4, 1, 3, 3),
    )
    solver.net.forward()
    solver.test_nets[0].forward()
    niter, test_interval = 30, 10
    train_loss, test_acc = np.zeros(niter), np.zeros(int(np.ceil(niter / test_interval)))
    for it in range(niter):
        solver.step(1)
        train_loss[it] = solver.net.blobs["loss"].data
        solver.test_nets[0].forward(start="conv1")
        if it % test_interval == 0:
            correct = 0
            for _ in range(4):
                solver.test_nets[0].forward()
                labels = solver.test_nets[0].blobs["label"].data
                correct += sum(solver.test_nets[0].blobs["score"].data.argmax(1) == labels)
            test_acc[it // test_interval] = correct / 20.0
    assert train_loss[-1] < 0.1 < train_loss[0]
    assert test_acc[-1] == 1


def test_blobs_outlive_their_net_and_solver(tmp_path):
    (tmp_path / "net.prototxt").write_text(str(lenet(4)))
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.01 lr_policy: "fixed" '
        "test_iter: 1 test_interval: 9 test_initialization: false"
    )
    solver = caffe.SGDSolver(str(tmp_path / "solver.prototxt"))
    nets = [solver.net, *solver.test_nets]
    assert len(nets) == 2
    del solver
    total = 0
    for net in nets:
        params, blobs = sum(map(list, net.params.values()), []), net.blobs.values()
        del net
        for blob in [*params, *blobs]:
            total += blob.data.sum() + blob.diff.sum()
    assert np.isfinite(total)


def test_python_layers_exceptions_are_the_users_own(tmp_path):
    text = FAST_RCNN.replace("{'num_classes': 3}", "{}")
    with pytest.raises(KeyError, match="num_classes"):
        net_from_text(tmp_path, text)
    net = net_from_text(tmp_path, FAST_RCNN)
    with pytest.raises(AttributeError, match="_roidb"):
        net.forward()


def test_biases_of_four_axes_as_old_weights_have_them(tmp_path):
    """Caffe takes any shape of the right count."""
    text = """
    input: "x" input_shape { dim: 2 dim: 3 dim: 5 dim: 4 }
    layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param {
      num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } bias_filler { value: 2 } } }
    layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param {
      num_output: 7 weight_filler { type: "xavier" } bias_filler { value: 3 } } }
    """
    net = net_from_text(tmp_path, text)
    net.blobs["x"].data[...] = np.random.default_rng(0).standard_normal((2, 3, 5, 4))
    net.forward()
    before = net.blobs["fc"].data.copy()
    for name, count in (("conv", 6), ("fc", 7)):
        net.params[name][1].reshape(1, 1, 1, count)
    net.forward()
    np.testing.assert_array_equal(net.blobs["fc"].data, before)
    net.blobs["fc"].diff[...] = 1
    net.backward()
    assert net.params["fc"][1].diff.shape == (1, 1, 1, 7)
    np.testing.assert_array_equal(net.params["fc"][1].diff, np.full((1, 1, 1, 7), 2))


def test_imports_from_pycaffes_own_module():
    from caffe import pycaffe

    assert pycaffe.Net is caffe.Net
    assert all(getattr(pycaffe, name) is getattr(caffe, name) for name in pycaffe.__all__)
