"""Old nets, weights and solvers: the same messages and numbers as those written the current way."""

import logging

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe import CaffeError, graph
from caffe.proto import caffe_pb2
from caffe.upgrade import current_type, net_needs_upgrade, upgrade_net, upgrade_solver
from tests.layer_checks import net_from_text
from tests.old_nets import CURRENT, V0, V1, parse, small_arrays, with_blobs

V1_TYPES = """
ABSVAL AbsVal, ACCURACY Accuracy, ARGMAX ArgMax, BNLL BNLL, CONCAT Concat, CONVOLUTION Convolution,
CONTRASTIVE_LOSS ContrastiveLoss, DATA Data, DECONVOLUTION Deconvolution, DROPOUT Dropout,
DUMMY_DATA DummyData, ELTWISE Eltwise, EUCLIDEAN_LOSS EuclideanLoss, EXP Exp, FLATTEN Flatten,
HDF5_DATA HDF5Data, HDF5_OUTPUT HDF5Output, HINGE_LOSS HingeLoss, IM2COL Im2col,
IMAGE_DATA ImageData, INFOGAIN_LOSS InfogainLoss, INNER_PRODUCT InnerProduct, LRN LRN,
MEMORY_DATA MemoryData, MULTINOMIAL_LOGISTIC_LOSS MultinomialLogisticLoss, MVN MVN, POOLING Pooling,
POWER Power, RELU ReLU, SIGMOID Sigmoid, SIGMOID_CROSS_ENTROPY_LOSS SigmoidCrossEntropyLoss,
SILENCE Silence, SLICE Slice, SOFTMAX Softmax, SOFTMAX_LOSS SoftmaxWithLoss, SPLIT Split, TANH TanH,
THRESHOLD Threshold, WINDOW_DATA WindowData
"""


def upgraded(text):
    net = parse(text)
    assert upgrade_net(net, "net")
    return net


@pytest.mark.parametrize("old", [V0, V1])
def test_an_old_net_becomes_the_current_one(old):
    assert text_format.MessageToString(upgraded(old)) == text_format.MessageToString(parse(CURRENT))


def test_a_current_net_stays_as_it_is():
    net = parse(CURRENT)
    assert not net_needs_upgrade(net)
    assert upgraded(CURRENT) == net
    assert all(net_needs_upgrade(parse(text)) for text in (V0, V1, 'input: "x"'))


@pytest.mark.parametrize(
    ("text", "trained"), [(V0, V0), (V0, V1), (V0, CURRENT), (V1, V0), (V1, V1), (CURRENT, V0)]
)
def test_old_nets_and_weights_compute_what_the_current_ones_do(tmp_path, text, trained):
    arrays = small_arrays(3)
    weights = tmp_path / "old.caffemodel"
    weights.write_bytes(with_blobs(trained, arrays).SerializeToString())
    old, now = (net_from_text(tmp_path, t, caffe.TEST) for t in (text, CURRENT))
    old.copy_from(str(weights))
    for name, blobs in arrays.items():
        for blob, array in zip(now.params[name], blobs, strict=True):
            blob.data[...] = array
    x = np.random.default_rng(5).standard_normal((2, 3, 11, 7)).astype(np.float32)
    got, want = (net.forward(data=x, blobs=["pool1", "ip"]) for net in (old, now))
    assert want["prob"].std() > 0.01
    for name, array in want.items():
        np.testing.assert_array_equal(got[name], array)


@pytest.mark.parametrize("old", [V0, V1])
def test_blobs_go_along_unchanged(old):
    net = with_blobs(old, small_arrays(7))
    assert upgrade_net(net, "net")
    assert net == with_blobs(CURRENT, small_arrays(7))
    assert [len(layer.blobs) for layer in net.layer if layer.blobs] == [1, 2, 2]


def test_every_v1_type_has_its_current_name():
    pairs = dict(pair.split() for pair in V1_TYPES.replace("\n", " ").split(","))
    enum = caffe_pb2.V1LayerParameter.LayerType
    assert {"NONE", *pairs} == set(enum.keys())
    assert {name: current_type(enum.Value(name)) for name in pairs} == pairs
    assert current_type(enum.Value("NONE")) == ""


def test_v1_parameters_become_param():
    net = upgraded(
        'layers { name: "a" type: INNER_PRODUCT param: "w" param: "b" blob_share_mode: PERMISSIVE '
        "blob_share_mode: STRICT blobs_lr: 2 weight_decay: 0.5 weight_decay: 0 weight_decay: 3 "
        "loss_weight: 4 include { phase: TEST } exclude { min_level: 2 } }"
    )
    assert net == parse(
        'layer { name: "a" type: "InnerProduct" loss_weight: 4 '
        'param { name: "w" share_mode: PERMISSIVE lr_mult: 2 decay_mult: 0.5 } '
        'param { name: "b" share_mode: STRICT decay_mult: 0 } param { decay_mult: 3 } '
        "include { phase: TEST } exclude { min_level: 2 } }"
    )


def test_every_v1_field_but_the_replaced_ones_goes_along():
    gone = {"layer", "type", "param", "blob_share_mode", "blobs_lr", "weight_decay"}
    old = caffe_pb2.V1LayerParameter(name="x", bottom=["a", "b"], top=["c"], loss_weight=[2, 3])
    for field in old.DESCRIPTOR.fields:
        if field.name in gone | {"name", "bottom", "top", "loss_weight"}:
            continue
        target = getattr(old, field.name)
        target.add() if hasattr(target, "add") else target.SetInParent()
    net = caffe_pb2.NetParameter(layers=[old])
    upgrade_net(net, "net")
    want = {field.name for field, _ in old.ListFields()}
    assert {field.name for field, _ in net.layer[0].ListFields()} == want | {"type"}
    assert (list(net.layer[0].bottom), list(net.layer[0].loss_weight)) == (["a", "b"], [2, 3])


@pytest.mark.parametrize(
    ("kind", "now", "param"),
    [
        ("DATA", "Data", "data_param"),
        ("IMAGE_DATA", "ImageData", "image_data_param"),
        ("WINDOW_DATA", "WindowData", "window_data_param"),
    ],
)
def test_v1_data_layers_hand_their_transforms_over(kind, now, param):
    moved = 'scale: 0.5 mean_file: "m" crop_size: 7 mirror: true'
    net = upgraded(
        f'layers {{ type: {kind} {param} {{ source: "s" batch_size: 3 {moved} }} '
        "transform_param { crop_size: 9 force_gray: true } }"
    )
    assert net == parse(
        f'layer {{ type: "{now}" {param} {{ source: "s" batch_size: 3 }} '
        f"transform_param {{ force_gray: true {moved} }} }}"
    )


def test_current_data_layers_keep_what_caffe_does_not_move():
    text = 'layer { type: "Data" data_param { scale: 0.5 } } layer { type: "ReLU" }'
    assert upgraded(text) == parse(text)


V0_DATA = 'source: "s" batchsize: 3 scale: 0.5 meanfile: "m" cropsize: 7 mirror: true'
DATA = 'source: "s" batch_size: 3'
TRANSFORM = 'transform_param { scale: 0.5 mean_file: "m" crop_size: 7 mirror: true }'


@pytest.mark.parametrize(
    ("v0", "now"),
    [
        (f'"data" {V0_DATA} rand_skip: 5', f'"Data" data_param {{ {DATA} rand_skip: 5 }}'),
        (
            f'"images" {V0_DATA} rand_skip: 5 shuffle_images: true new_height: 8 new_width: 9',
            f'"ImageData" image_data_param {{ {DATA} rand_skip: 5 shuffle: true new_height: 8 '
            "new_width: 9 }",
        ),
        (
            f'"window_data" {V0_DATA} det_fg_threshold: 0.25 det_bg_threshold: 0.75 '
            'det_fg_fraction: 0.125 det_context_pad: 16 det_crop_mode: "square"',
            f'"WindowData" window_data_param {{ {DATA} fg_threshold: 0.25 bg_threshold: 0.75 '
            'fg_fraction: 0.125 context_pad: 16 crop_mode: "square" }',
        ),
    ],
)
def test_v0_data_layers(v0, now):
    net = upgraded(f'layers {{ layer {{ name: "d" type: {v0} }} top: "x" top: "y" }}')
    assert net == parse(f'layer {{ name: "d" type: {now} top: "x" top: "y" {TRANSFORM} }}')


@pytest.mark.parametrize(
    ("v0", "now"),
    [
        ('"hdf5_data" source: "s" batchsize: 3', f'"HDF5Data" hdf5_data_param {{ {DATA} }}'),
        (
            '"hdf5_output" hdf5_output_param { file_name: "f" }',
            '"HDF5Output" hdf5_output_param { file_name: "f" }',
        ),
        ('"infogain_loss" source: "s"', '"InfogainLoss" infogain_loss_param { source: "s" }'),
        ('"lrn" k: 2 alpha: 3', '"LRN" lrn_param { k: 2 alpha: 3 }'),
        ('"pool" pool: STOCHASTIC pad: 1', '"Pooling" pooling_param { pool: STOCHASTIC pad: 1 }'),
        ('"innerproduct" biasterm: false', '"InnerProduct" inner_product_param{bias_term: false}'),
        ('"accuracy"', '"Accuracy"'),
        ('"bnll"', '"BNLL"'),
        ('"euclidean_loss"', '"EuclideanLoss"'),
        ('"flatten"', '"Flatten"'),
        ('"im2col"', '"Im2col"'),
        ('"multinomial_logistic_loss"', '"MultinomialLogisticLoss"'),
        ('"sigmoid"', '"Sigmoid"'),
        ('"softmax_loss"', '"SoftmaxWithLoss"'),
        ('"split"', '"Split"'),
        ('"tanh"', '"TanH"'),
    ],
)
def test_v0_layers_by_type(v0, now):
    net = upgraded(f'layers {{ layer {{ name: "l" type: {v0} }} bottom: "x" }}')
    assert net == parse(f'layer {{ name: "l" type: {now} bottom: "x" }}')


def test_a_v0_field_of_another_type_is_left_out_and_said(caplog):
    net = parse('layers { layer { name: "r" type: "relu" new_num: 3 kernelsize: 2 } bottom: "x" }')
    with caplog.at_level(logging.ERROR, "caffe"):
        assert not upgrade_net(net, "net")
    assert caplog.messages == [
        "Unknown parameter kernelsize for layer type relu",
        "Unknown parameter new_num for layer type relu",
    ]
    assert net == parse('layer { name: "r" type: "ReLU" bottom: "x" }')


PADDING = 'layers { layer { name: "p" type: "padding" pad: 1 } %s top: "y" }'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'layers { type: RELU } layers { type: TANH } layer { type: "ReLU" }',
            "net: 2 old `layers` beside 1 `layer`; .*upgrade_net_proto_text",
        ),
        (
            'layers { layer { name: "a" type: "relu" } } layers { name: "b" type: RELU }',
            'net: layers "b" has no `layer { }` inside as others',
        ),
        (
            'layers { layer { name: "a" type: "relu" } blobs_lr: 1 include { phase: TEST } }',
            r'layer "a" \(relu\): blobs_lr, include beside `layer { }`',
        ),
        (
            'layers { layer { name: "a" type: "convolution" } }',
            r'layer "a" \(convolution\): unknown type; V0 nets have accuracy, .* conv, ',
        ),
        (
            PADDING % 'bottom: "x"' + 'layers { layer { name: "r" type: "relu" } bottom: "y" }',
            r'layer "r" \(relu\) reads the padding layer "p"; only a conv or pool',
        ),
        (
            PADDING % 'bottom: "x"'
            + 'layers { layer { name: "c" type: "conv" } bottom: "y" bottom: "x" }',
            r'layer "c" \(conv\) reads the padding layer "p"; .* with one bottom',
        ),
        (
            PADDING % "" + 'layers { layer { name: "c" type: "conv" } bottom: "y" }',
            r'layer "p" \(padding\): expected one bottom, got 0',
        ),
    ],
)
def test_nets_that_no_caffe_could_read(text, words):
    with pytest.raises(CaffeError, match=words):
        upgrade_net(parse(text), "net")


@pytest.mark.parametrize(("count", "learned"), [(3, 0.0), (2, 1.0)])
def test_old_batch_norm_statistics_are_not_learned(count, learned):
    text = 'layer { type: "%s" ' + 'param { name: "m" decay_mult: 2 } ' * count + "}"
    net = parse(text % "BatchNorm" + text % "Scale")
    assert net_needs_upgrade(net) == (count == 3)
    assert upgrade_net(net, "net")
    assert not net_needs_upgrade(net)
    norm, scale = net.layer
    got = [(spec.name, spec.lr_mult, spec.decay_mult) for spec in norm.param]
    assert got == [("m", learned, 2 * learned)] * count
    assert all(spec.lr_mult == 1 for spec in scale.param)


def test_old_phase_rules_decide_in_prepare():
    net = parse(
        'layers { name: "a" type: DUMMY_DATA top: "x" include { phase: TRAIN } } '
        'layers { name: "b" type: DUMMY_DATA top: "x" exclude { phase: TRAIN } }'
    )
    for phase, kept in ((caffe.TRAIN, "a"), (caffe.TEST, "b")):
        assert [layer.name for layer in graph.prepare(net, phase).layer] == [kept]
    assert len(net.layers) == 2  # the caller's message stays as it is


@pytest.mark.parametrize("name", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
def test_solver_type_becomes_type(name):
    text = f"base_lr: 0.5 solver_type: {name.upper()}"
    solver = text_format.Parse(text, caffe_pb2.SolverParameter())
    upgrade_solver(solver, "s.prototxt")
    assert (solver.type, solver.HasField("solver_type"), solver.base_lr) == (name, False, 0.5)
    upgrade_solver(solver, "s.prototxt")
    assert solver.type == name


def test_two_solver_types_are_refused():
    solver = text_format.Parse('type: "SGD" solver_type: ADAM', caffe_pb2.SolverParameter())
    with pytest.raises(CaffeError, match=r"s\.prototxt: give type or the old solver_type"):
        upgrade_solver(solver, "s.prototxt")


def test_a_solver_with_an_old_net_inside_trains_as_with_the_current_one():
    shared = (
        '{0} {{ name: "d" type: {1} top: "x" top: "t" dummy_data_param {{ shape {{ dim: 2 dim: 3 }}'
        " shape {{ dim: 2 dim: 4 }} data_filler {{ value: 0.5 }} data_filler {{ value: 2 }} }} }} "
        '{0} {{ name: "ip" type: {2} bottom: "x" top: "y" {4} inner_product_param {{ num_output: 4 '
        "weight_filler {{ value: 0.25 }} }} }} "
        '{0} {{ name: "loss" type: {3} bottom: "y" bottom: "t" top: "loss" }}'
    )
    old = shared.format(
        "layers", "DUMMY_DATA", "INNER_PRODUCT", "EUCLIDEAN_LOSS", "blobs_lr: 2 blobs_lr: 0"
    )
    types = ('"DummyData"', '"InnerProduct"', '"EuclideanLoss"')
    now = shared.format("layer", *types, "param { lr_mult: 2 } param { lr_mult: 0 }")
    trained = []
    for net, kind in ((old, "solver_type: NESTEROV"), (now, 'type: "Nesterov"')):
        text = f'base_lr: 0.25 lr_policy: "fixed" momentum: 0.5 {kind} net_param {{ {net} }}'
        solver = caffe.get_solver(text_format.Parse(text, caffe_pb2.SolverParameter()))
        solver.step(3)
        trained.append([blob.data.copy() for blob in solver.net.params["ip"]])
    for got, want in zip(*trained, strict=True):
        np.testing.assert_array_equal(got, want)
    assert not np.allclose(trained[0][0], 0.25)
    assert not trained[0][1].any()
