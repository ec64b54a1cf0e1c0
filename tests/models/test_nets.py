"""The nets of papers: sizes, forward and backward passes in both phases, training, timing."""

import math
import re
import shutil
from fractions import Fraction

import lmdb
import numpy as np
import pytest
import torch
from google.protobuf import text_format
from nets import NETS, pspnet101
from torch.nn import functional

import caffe
from caffe import cli
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text
from models.generate import ROOT

PATHS = [net.path for net in NETS]
# (data, label) in the tests; some nets get smaller images than their own.
SHAPES = {
    "mnist/lenet": ((3, 1, 28, 28), (3,)),
    "cifar10/quick": ((3, 3, 32, 32), (3,)),
    "imagenet/alexnet": ((2, 3, 227, 227), (2,)),
    "imagenet/caffenet": ((2, 3, 227, 227), (2,)),
    "imagenet/googlenet": ((2, 3, 224, 224), (2,)),
    "imagenet/resnet18": ((2, 3, 96, 64), (2,)),
    "imagenet/resnet50": ((2, 3, 224, 224), (2,)),
    "imagenet/mobilenet_v1": ((2, 3, 64, 96), (2,)),
    "voc2011/fcn8s": ((1, 3, 24, 40), (1, 1, 24, 40)),
    "cityscapes/pspnet101": ((2, 3, 41, 41), (2, 1, 41, 41)),
}


def read(path, stem):
    return read_text(ROOT / path / f"{stem}.prototxt", caffe_pb2.NetParameter())


def train_val(path):
    """The net as the tests run it: with Input layers in the place of its data layers."""
    message = read(path, "train_val")
    if path == "cityscapes/pspnet101":
        message = pspnet101.train_val(side=SHAPES[path][0][-1])
    inputs = caffe_pb2.LayerParameter(name="data", type="Input", top=["data", "label"])
    for shape in SHAPES[path]:
        inputs.input_param.shape.add(dim=shape)
    rest = [layer for layer in message.layer if "label" not in layer.top]
    assert len(rest) == len(message.layer) - 2
    return caffe_pb2.NetParameter(name=message.name, layer=[inputs, *rest])


def lighten(message):
    """Let the net run one pass on its own: in FCN-8s and PSPNet-101 training starts elsewhere."""
    for layer in message.layer:
        if layer.name in ("fc6", "fc7") and layer.type == "Convolution":
            layer.convolution_param.num_output = 256  # of 4096, so that 400 MB less are filled
        filler = layer.convolution_param.weight_filler
        if filler.type == "constant":  # the classifiers start from 0, which ends the gradient
            filler.type, filler.std = "gaussian", 0.01
        if layer.type == "BN":
            layer.bn_param.momentum = 0  # the first averages are those of the first batch


@pytest.fixture
def no_fillers(monkeypatch):
    """Zeros that take no memory in the place of weights."""
    monkeypatch.setattr("caffe.layer.fill", lambda shape, _: torch.zeros(()).expand(shape))


def conv(inputs, outputs, kernel=1, bias=1):
    return outputs * (inputs * kernel**2 + bias)


def normed(inputs, outputs, kernel=1):
    """A convolution without bias, and a slope and a bias behind it."""
    return conv(inputs, outputs, kernel, bias=2)


def bottlenecks(blocks, channels):
    """What the four stages of a ResNet learn, for maps of `channels`."""
    total = 0
    for inside, count in zip((64, 128, 256, 512), blocks, strict=True):
        total += normed(channels, 4 * inside)
        for _ in range(count):
            total += normed(channels, inside) + normed(inside, inside, 3)
            total += normed(inside, 4 * inside)
            channels = 4 * inside
    return total


def chain(*layers):
    return sum(conv(*layer) for layer in layers)


ALEXNET = chain(
    (3, 96, 11), (48, 256, 5), (256, 384, 3), (192, 384, 3), (192, 256, 3), (9216, 4096)
) + chain((4096, 4096), (4096, 1000))
VGG16 = 14_714_688  # its convolutions, as published
PSPNET101 = (
    sum((normed(3, 64, 3), normed(64, 64, 3), normed(64, 128, 3)))
    + bottlenecks((3, 4, 23, 3), 128)
    + 4 * normed(2048, 512)
    + normed(4096, 512, 3)
    + conv(512, 19)
)
# path: numbers that the deployed net learns, and those of auxiliary losses
LEARNED = {
    "mnist/lenet": (431_080, 0),
    "cifar10/quick": (chain((3, 32, 5), (32, 32, 5), (32, 64, 5), (1024, 64), (64, 10)), 0),
    "imagenet/alexnet": (60_965_224, 0),
    "imagenet/caffenet": (ALEXNET, 0),
    "imagenet/googlenet": (
        6_998_552,
        chain((512, 128), (528, 128)) + 2 * chain((2048, 1024), (1024, 1000)),
    ),
    "imagenet/resnet18": (11_689_512, 0),
    "imagenet/resnet50": (
        chain((3, 64, 7), (2048, 1000)) + 2 * 64 + bottlenecks((3, 4, 6, 3), 64),
        0,
    ),
    "imagenet/mobilenet_v1": (4_231_976, 0),
    "voc2011/fcn8s": (
        VGG16 + chain((512, 4096, 7), (4096, 4096), (4096, 21), (512, 21), (256, 21)),
        0,
    ),
    "cityscapes/pspnet101": (PSPNET101, normed(1024, 256, 3) + conv(256, 19)),
}
BLOBS = {
    "mnist/lenet": {"conv1": (64, 20, 24, 24), "pool2": (64, 50, 4, 4), "prob": (64, 10)},
    "cifar10/quick": {"pool1": (1, 32, 16, 16), "pool3": (1, 64, 4, 4), "prob": (1, 10)},
    "imagenet/alexnet": {
        "conv1": (10, 96, 55, 55),
        "norm1": (10, 96, 55, 55),
        "pool2": (10, 256, 13, 13),
        "pool5": (10, 256, 6, 6),
        "prob": (10, 1000),
    },
    "imagenet/caffenet": {"norm1": (10, 96, 27, 27), "pool5": (10, 256, 6, 6), "prob": (10, 1000)},
    "imagenet/googlenet": {
        "pool2/3x3_s2": (10, 192, 28, 28),
        "inception_3a/output": (10, 256, 28, 28),
        "inception_3b/output": (10, 480, 28, 28),
        "inception_4a/output": (10, 512, 14, 14),
        "inception_4d/output": (10, 528, 14, 14),
        "inception_4e/output": (10, 832, 14, 14),
        "inception_5b/output": (10, 1024, 7, 7),
        "pool5/7x7_s1": (10, 1024, 1, 1),
        "prob": (10, 1000),
    },
    "imagenet/resnet18": {
        "conv1": (1, 64, 112, 112),
        "pool1": (1, 64, 56, 56),
        "res2b": (1, 64, 56, 56),
        "res3a_branch1": (1, 128, 28, 28),
        "res4b": (1, 256, 14, 14),
        "res5b": (1, 512, 7, 7),
        "pool5": (1, 512, 1, 1),
        "prob": (1, 1000),
    },
    "imagenet/resnet50": {
        "pool1": (1, 64, 56, 56),
        "res2c": (1, 256, 56, 56),
        "res3d": (1, 512, 28, 28),
        "res4f_branch2a": (1, 256, 14, 14),
        "res5c": (1, 2048, 7, 7),
        "prob": (1, 1000),
    },
    "imagenet/mobilenet_v1": {
        "conv1": (1, 32, 112, 112),
        "conv2_1/sep": (1, 64, 112, 112),
        "conv2_2/dw": (1, 64, 56, 56),
        "conv3_2/sep": (1, 256, 28, 28),
        "conv5_5/sep": (1, 512, 14, 14),
        "conv6/sep": (1, 1024, 7, 7),
        "pool6": (1, 1024, 1, 1),
        "prob": (1, 1000, 1, 1),
    },
    "voc2011/fcn8s": {
        "conv1_1": (1, 64, 698, 698),
        "fc7": (1, 4096, 16, 16),
        "upscore2": (1, 21, 34, 34),
        "fuse_pool3": (1, 21, 70, 70),
        "upscore8": (1, 21, 568, 568),
        "score": (1, 21, 500, 500),
    },
    "cityscapes/pspnet101": {
        "conv2_3": (1, 256, 179, 179),
        "conv4_23_3x3": (1, 256, 90, 90),
        "conv5_3": (1, 2048, 90, 90),
        "conv5_3_pool1": (1, 2048, 1, 1),
        "conv5_3_pool2_conv": (1, 512, 2, 2),
        "conv5_3_pool3": (1, 2048, 3, 3),
        "conv5_3_pool6_interp": (1, 512, 90, 90),
        "conv5_3_concat": (1, 4096, 90, 90),
        "conv6_interp": (1, 19, 713, 713),
    },
}
LOSS_WEIGHTS = {"imagenet/googlenet": [0.3, 0.3, 1], "cityscapes/pspnet101": [1, 0.4]}


def learned(net):
    return sum(blob.count for blobs in net.params.values() for blob in blobs if blob.learned)


@pytest.mark.parametrize("path", PATHS)
def test_sizes(path, no_fillers):
    net = caffe.Net(read(path, "deploy"), caffe.TEST)
    for name, shape in BLOBS[path].items():
        assert net.blobs[name].shape == shape, name
    numbers, auxiliary = LEARNED[path]
    assert learned(net) == numbers
    assert net.outputs == list(BLOBS[path])[-1:]
    assert learned(caffe.Net(train_val(path), caffe.TRAIN)) == numbers + auxiliary


def fill_inputs(net):
    rng = np.random.default_rng(0)
    label = net.blobs["label"].data
    net.blobs["data"].data[...] = rng.normal(0, 50, net.blobs["data"].shape)
    label[...] = rng.integers(0, 10, label.shape)
    label.reshape(-1)[0] = 255 if label.ndim == 4 else 9


@pytest.mark.parametrize("path", PATHS)
def test_forward_and_backward_in_both_phases(path):
    caffe.set_random_seed(1)
    message = train_val(path)
    lighten(message)
    net = caffe.Net(message, caffe.TRAIN)
    fill_inputs(net)
    loss = net.forward_backward()
    weights = [weight for weight in net.blob_loss_weights.values() if weight]
    assert weights == pytest.approx(LOSS_WEIGHTS.get(path, [1]))
    assert math.isfinite(loss)
    assert loss > 0
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            assert np.isfinite(blob.diff).all(), (name, i)
    first = next(iter(net.params.values()))[0]
    assert np.count_nonzero(first.diff) > 0.9 * first.count
    test = caffe.Net(message, caffe.TEST)
    test.share_with(net)
    fill_inputs(test)
    for name, values in test.forward().items():
        assert np.isfinite(values).all(), name
        if "accuracy" in name or "top-" in name:
            assert 0 <= values <= 1, name


# Published files load by these names.
ALEXNET_NAMES = "conv1 conv2 conv3 conv4 conv5 fc6 fc7 fc8"
NAMES = {
    "mnist/lenet": "conv1 conv2 ip1 ip2",
    "cifar10/quick": "conv1 conv2 conv3 ip1 ip2",
    "imagenet/alexnet": ALEXNET_NAMES,
    "imagenet/caffenet": ALEXNET_NAMES,
    "imagenet/googlenet": "conv1/7x7_s2 conv2/3x3_reduce conv2/3x3 inception_3a/pool_proj "
    "inception_4e/5x5_reduce inception_5b/1x1 loss3/classifier",
    "imagenet/resnet18": "conv1 bn_conv1 scale_conv1 res2a_branch2a bn2b_branch2b "
    "scale3a_branch1 res5b_branch2b fc1000",
    "imagenet/resnet50": "conv1 bn_conv1 scale_conv1 res2a_branch1 bn2a_branch1 scale4f_branch2c "
    "res5c_branch2b fc1000",
    "imagenet/mobilenet_v1": "conv1 conv1/bn conv1/scale conv2_1/dw conv2_1/sep/bn conv5_5/sep "
    "conv5_6/dw/scale conv6/sep fc7",
    "voc2011/fcn8s": "conv1_1 conv5_3 fc6 fc7 score_fr score_pool4 score_pool3",
    "cityscapes/pspnet101": "conv1_1_3x3_s2 conv1_1_3x3_s2/bn conv2_1_1x1_proj/bn conv4_23_3x3 "
    "conv3_4_1x1_reduce conv5_3_1x1_increase conv5_3_pool1_conv/bn conv5_4 conv6",
}


@pytest.mark.parametrize("path", PATHS)
def test_the_deployed_net_reads_what_training_writes(path, no_fillers):
    deployed = caffe.Net(read(path, "deploy"), caffe.TEST).params
    learning = caffe.Net(train_val(path), caffe.TRAIN).params
    assert set(deployed) >= set(NAMES[path].split())
    for name, blobs in deployed.items():
        assert [blob.shape for blob in blobs] == [blob.shape for blob in learning[name]], name


def test_fcn8s_adds_maps_where_they_lie_in_the_image():
    """Each blob's pixel i lies at scale * i + shift in the image; what meets must agree."""
    places = {"data": (Fraction(1), Fraction(0))}
    for layer in read("voc2011/fcn8s", "deploy").layer[1:]:
        scale, shift = places[layer.bottom[0]]
        if layer.type == "Crop":
            shift += scale * layer.crop_param.offset[0]
            assert (scale, shift) == places[layer.bottom[1]], layer.name
        elif layer.type == "Eltwise":
            assert (scale, shift) == places[layer.bottom[1]], layer.name
        elif layer.type in ("Convolution", "Deconvolution", "Pooling"):
            param = layer.pooling_param if layer.type == "Pooling" else layer.convolution_param
            kernel, stride, pad = (
                sum(field) if hasattr(field, "append") else field
                for field in (param.kernel_size, param.stride, param.pad)
            )
            middle = Fraction((kernel or 1) - 1, 2) - pad
            if layer.type == "Deconvolution":
                scale /= stride
                shift -= scale * middle
            else:
                shift += scale * middle
                scale *= stride or 1
        places[layer.top[0]] = scale, shift
    assert places["score"] == places["data"]


def test_pspnet_pools_its_maps_into_1_2_3_and_6_cells_a_side():
    layers = {layer.name: layer for layer in read("cityscapes/pspnet101", "deploy").layer}
    for cells in (1, 2, 3, 6):
        param = layers[f"conv5_3_pool{cells}"].pooling_param
        assert (param.pool, param.kernel_size, param.stride) == (param.AVE, 90 / cells, 90 / cells)
    order = [f"conv5_3_pool{cells}_interp" for cells in (6, 3, 2, 1)]
    assert list(layers["conv5_3_concat"].bottom) == ["conv5_3", *order]


def normalised(net, x, convolution, batch_norm, scale, **shape):
    """A convolution without bias, stored averages, slope and bias, from a net's weights."""
    weights = [torch.as_tensor(blob.data) for blob in net.params[convolution]]
    mean, var, weight = (torch.as_tensor(blob.data) for blob in net.params[batch_norm])
    slope, bias = (torch.as_tensor(blob.data)[:, None, None] for blob in net.params[scale])
    x = functional.conv2d(x, *weights, **shape) - (mean / weight)[:, None, None]
    return x / ((var / weight)[:, None, None] + 1e-5).sqrt() * slope + bias


def mobilenet_map(net, x):
    names = [name.removesuffix("/dw") for name in net.params if name.endswith("/dw")]
    strided = ("conv2_2", "conv3_2", "conv4_2", "conv5_6")
    x = normalised(net, x, "conv1", "conv1/bn", "conv1/scale", stride=2, padding=1).relu()
    for name in names:
        stride, own = 2 if name in strided else 1, (f"{name}/dw", f"{name}/sep")
        shapes = {"stride": stride, "padding": 1, "groups": x.shape[1]}, {}
        for layer, shape in zip(own, shapes, strict=True):
            x = normalised(net, x, layer, f"{layer}/bn", f"{layer}/scale", **shape).relu()
    return x


def resnet18_map(net, x):
    def branch(name, x, **shape):
        return normalised(net, x, f"res{name}", f"bn{name}", f"scale{name}", **shape)

    x = normalised(net, x, "conv1", "bn_conv1", "scale_conv1", stride=2, padding=3).relu()
    x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
    for block in ("2a", "2b", "3a", "3b", "4a", "4b", "5a", "5b"):
        stride = 2 if block in ("3a", "4a", "5a") else 1
        shortcut = x if stride == 1 else branch(f"{block}_branch1", x, stride=2)
        x = branch(f"{block}_branch2a", x, stride=stride, padding=1).relu()
        x = (shortcut + branch(f"{block}_branch2b", x, padding=1)).relu()
    return x


@pytest.mark.parametrize(
    ("path", "compute", "classifier"),
    [
        ("imagenet/mobilenet_v1", mobilenet_map, "fc7"),
        ("imagenet/resnet18", resnet18_map, "fc1000"),
    ],
)
def test_small_nets_compute_their_papers_layers(path, compute, classifier):
    caffe.set_random_seed(1)
    rng = np.random.default_rng(0)
    net = caffe.Net(read(path, "deploy"), caffe.TEST)
    for name, blobs in net.params.items():
        if len(blobs) == 3:  # sums of means and variances, and their weight
            blobs[0].data[...] = rng.normal(0, 0.2, blobs[0].shape)
            blobs[1].data[...], blobs[2].data[...] = rng.uniform(1, 4, blobs[1].shape), 2
        elif "scale" in name:
            blobs[0].data[...] = rng.uniform(0.5, 1.5, blobs[0].shape)
            blobs[1].data[...] = rng.normal(0, 0.3, blobs[1].shape)
    net.blobs["data"].reshape(2, 3, 96, 64)
    net.blobs["data"].data[...] = x = rng.normal(0, 1, (2, 3, 96, 64)).astype(np.float32)
    net.forward()
    map_ = compute(net, torch.as_tensor(x)).numpy()
    assert map_.shape == (2, {"fc7": 1024, "fc1000": 512}[classifier], 3, 2)
    weight, bias = (blob.data for blob in net.params[classifier])
    z = map_.mean((2, 3)) @ weight.reshape(1000, -1).T + bias
    assert z.std() > 0.1
    got = net.blobs[classifier].data.reshape(2, 1000)
    np.testing.assert_allclose(got, z, atol=1e-4 * np.abs(z).max())


def write_digits(folder, count, seed):
    """An LMDB of digit-like images (1, 28, 28): ten fixed patterns, shifted and with noise."""
    patterns = np.random.default_rng(0).integers(0, 2, (10, 5, 5)).repeat(4, 1).repeat(4, 2) * 200
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=2**26) as database, database.begin(write=True) as write:
        for i in range(count):
            label = int(rng.integers(10))
            image = rng.integers(0, 56, (28, 28)).astype(np.uint8)
            y, x = rng.integers(2, 7, 2)
            image[y : y + 20, x : x + 20] += patterns[label].astype(np.uint8)
            datum = caffe_pb2.Datum(channels=1, height=28, width=28, label=label)
            datum.data = image.tobytes()
            write.put(b"%08d" % i, datum.SerializeToString())


def test_lenet_learns_its_own_way(tmp_path, monkeypatch, caplog):
    """`caffe train` with the committed files, for 60 of the 10,000 steps."""
    shutil.copytree(ROOT / "mnist", tmp_path / "models" / "mnist")
    write_digits(tmp_path / "data/mnist/train_lmdb", 640, seed=1)
    write_digits(tmp_path / "data/mnist/test_lmdb", 200, seed=2)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "models/mnist/lenet/solver.prototxt"
    options = read_text(path, caffe_pb2.SolverParameter())
    options.max_iter = options.test_interval = 60
    options.test_iter[0], options.display, options.snapshot_after_train = 2, 20, False
    path.write_text(text_format.MessageToString(options))
    assert cli.main(["train", "--solver=models/mnist/lenet/solver.prototxt"]) == 0
    text = "\n".join(caplog.messages)
    losses = [float(loss) for loss in re.findall(r"Iteration \d+.*, loss = (\S+)", text)]
    accuracies = [float(found) for found in re.findall(r"accuracy = (\S+)", text)]
    assert losses[0] > 2
    assert losses[-1] < 0.5
    assert accuracies[0] < 0.4
    assert accuracies[-1] > 0.9


@pytest.mark.parametrize("path", ["mnist/lenet", "cifar10/quick"])
def test_caffe_time_tells_each_layers_time(path, caplog):
    model = str(ROOT / path / "deploy.prototxt")
    assert cli.main(["time", "--model", model, "--iterations", "1"]) == 0
    for layer in read(path, "deploy").layer:
        assert re.search(rf"\s{layer.name}\tforward: \S+ ms", caplog.text), layer.name
    assert "Average Forward-Backward: " in caplog.text
