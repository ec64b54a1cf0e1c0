"""Prototxt: what parses as in Caffe, and what every kind of mistake says."""

import tracemalloc

import pytest

from caffe import CaffeError
from caffe.proto import caffe_pb2
from caffe.prototxt import parse, read_text

# All that only one of the three trees' caffe.proto has (BVLC, the PSPNet fork, the authors').
FORKS = """
layer { batch_norm_param { update_global_stats: true } }
layer { adaptive_bias_channel_param { num_iter: 2 bg_portion: 0.1 fg_portion: 0.3
  suppress_others: false margin_others: 1e-4 } }
layer { bias_channel_param { bg_bias: 1 fg_bias: 3 ignore_label: 255 ignore_label: 0
  label_type: PIXEL background_label: 1 } }
layer { bn_param { slope_filler { value: 1 } bias_filler { } momentum: 0.95 eps: 1e-5 frozen: true
  engine: CUDNN } }
layer { dense_crf_param { max_iter: 5 pos_xy_std: 3 pos_w: 3 bi_xy_std: 50 bi_rgb_std: 5 bi_w: 4
  output_probability: false } }
layer { domain_transform_param { num_iter: 2 spatial_sigma: 40 range_sigma: 4 min_weight: 0.5 } }
layer { human_att_data_param { source: "s" scale: 2 mean_file: "m" batch_size: 1 crop_size: 672
  mirror: true rand_skip: 1 shuffle: true new_height: 5 new_width: 7 is_color: false
  root_folder: "r/" att_num: 80 bbox_num: 500 scale_factors: 480 scale_factors: 576 } }
layer { image_data_param { ignore_label: 254 label_type: PIXEL } }
layer { infogain_loss_param { axis: 2 } }
layer { interp_param { height: 5 width: 7 zoom_factor: 2 shrink_factor: 1 pad_beg: -1 pad_end: 0 } }
layer { loss_param { weight_by_label_freqs: true class_weighting: 0.5 class_weighting: 2 } }
layer { mat_read_param { prefix: "p" source: "s" strip: 4 batch_size: 2 } }
layer { mat_write_param { prefix: "p" source: "s" strip: 4 period: 2 } }
layer { pooling_param { round_mode: FLOOR } }
layer { recurrent_param { num_output: 3 debug_info: true expose_hidden: true } }
layer { roi_pooling_param { pooled_h: 7 pooled_w: 6 spatial_scale: 0.0625 score_scale: 10
  score_bias: 1 top_cls: 5 norm_type: 1 single_scale: 224 origin_scale: 672 } }
layer { seg_accuracy_param { metric: PixelIOU ignore_label: 255 reset: false } }
layer { swish_param { beta: 2 } clip_param { min: -1 max: 2 } parameter_param { shape { dim: 3 } } }
layer { transform_param { scale_factors: 0.5 scale_factors: 2 crop_width: 7 crop_height: 5 } }
layer { unique_label_param { max_labels: 3 ignore_label: 255 force_label: 1 } }
"""


def read(tmp_path, content, message=caffe_pb2.NetParameter):
    path = tmp_path / "net.prototxt"
    path.write_bytes(content)
    return read_text(path, message())


def message_of(text):
    with pytest.raises(CaffeError) as caught:
        parse(text, caffe_pb2.NetParameter(), "n")
    return str(caught.value)


def test_all_trees_fields_are_known():
    net = parse(FORKS, caffe_pb2.NetParameter(), "forks")
    assert len(net.layer) == FORKS.count("layer {")
    assert net.layer[-1].unique_label_param.force_label == [1]


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbfname: "n"\nlayer { bottom: "a" bottom: "b" }\n',
        b'name: "n"\r\nlayer {\r\n bottom: "a"\r\n bottom: "b"\r\n}\r\n',
        b'# 10 \xb5s, M\xfcller\nname: "n" layer { bottom: "a" bottom: "b" }',
        b"name: 'n' layer: < bottom: ['a', \"b\"] >;",
        b'name: "n" # layer {\nlayer { bottom: "a", bottom: "b" },',
    ],
    ids=["byte order mark", "Windows line ends", "latin-1 comment", "other brackets", "commas"],
)
def test_what_caffes_parser_accepts(tmp_path, content):
    net = read(tmp_path, content)
    assert (net.name, [list(layer.bottom) for layer in net.layer]) == ("n", [["a", "b"]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "layer {\n  inner_product_param { num_outptu: 3 }",
            "n:2:25: InnerProductParameter has no field 'num_outptu'; did you mean num_output?",
        ),
        (
            'layer { Bottom: "x" }',
            "n:1:9: LayerParameter has no field 'Bottom'; did you mean bottom?",
        ),
        (
            "layer { kernel_size: 3 }",
            "n:1:9: LayerParameter has no field 'kernel_size'; it belongs into convolution_param "
            "{ } or pooling_param { }",
        ),
        (
            "layer { blobs_lr: 3 }",
            "n:1:9: LayerParameter has no field 'blobs_lr'; did you mean blobs? it is a field of "
            "V1LayerParameter and V0LayerParameter",
        ),
        ('net: "x"', "n:1:1: NetParameter has no field 'net'; it is a field of SolverParameter"),
        (
            "zz: 1",
            "n:1:1: NetParameter has no field 'zz'; see NetParameter in caffe.proto for its fields",
        ),
    ],
)
def test_unknown_fields(text, words):
    assert message_of(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'layer { # }\n name: "}"\n relu_param { }\n\nlayer { }',
            "n:5:1: LayerParameter has no field 'layer'; "
            'is the "}" missing of the "layer" opened in line 1?',
        ),
        (
            'layer {\n param <\n lr_mult: 1\n bottom: "x" }',
            "n:4:2: ParamSpec has no field 'bottom'; "
            'is the "}" missing of the "param" opened in line 2?',
        ),
        (
            'layer: [{ name: "a" },\n { param { top: "x" } }]',
            "n:2:12: ParamSpec has no field 'top'; it is a field of LayerParameter",
        ),
        (
            'layer { }\nlayer {\n name: "x" relu_param {\n }\n',
            'n:4:2: the file ends inside "layer", opened in line 2: a "}" is missing',
        ),
        ('layer {\n name: "x" } }', 'n:2:14: no block is open that this "}" could close'),
    ],
)
def test_missing_and_stray_braces(text, words):
    assert message_of(text).startswith(words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "layer { pooling_param { pool: MAXX } }",
            "n:1:31: PoolingParameter.PoolMethod has no value MAXX; did you mean MAX? "
            "expected one of MAX, AVE, STOCHASTIC",
        ),
        (
            "layer { seg_accuracy_param { metric: pixeliou } }",
            "n:1:38: SegAccuracyParameter.AccuracyMetric has no value pixeliou; did you mean "
            "PixelIOU? expected one of PixelAccuracy, ClassAccuracy, PixelIOU",
        ),
        (
            "layer { pooling_param { pool: 7 } }",
            "n:1:31: PoolingParameter.PoolMethod has no value 7; "
            "expected one of MAX, AVE, STOCHASTIC",
        ),
        (
            'layers { type: "RELU" }',
            'n:1:16: V1LayerParameter.LayerType has no value "RELU"; write RELU without quotes',
        ),
        (
            "layer { type: ReLU }",
            'n:1:15: expected a text in quotes, got ReLU; write "ReLU"',
        ),
        ("layer { convolution_param { num_output: 2.5 } }", "n:1:41: Couldn't parse integer: 2.5"),
        (
            'name: "a"\nname: "b"',
            'n:2:7: Message type "caffe.NetParameter" should not have multiple "name" fields.',
        ),
        (
            "layer { clip_param { max: 1 } }",
            "n: required field(s) missing: layer[0].clip_param.min",
        ),
        ('layer { name: "x\n" }', "n:1:15: String missing ending quote: '\"x'"),
        ("layer = 3", 'n:1:7: Expected "{".'),
        ("\x01", r"n:1:1: Expected identifier or number, got \x01."),
    ],
)
def test_wrong_values(text, words):
    assert message_of(text) == words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x08\x96\x01\x00binary", "expected a prototxt, got a binary file"),
        ('name: "n"'.encode("utf-16"), "the text is UTF-16; save it as UTF-8"),
        (b'name: "n"\n' * 850_000, "at most 8 MiB, this is larger"),
    ],
)
def test_files_that_are_no_prototxt(tmp_path, content, words):
    with pytest.raises(CaffeError, match=rf"net\.prototxt: .*{words}"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    "text",
    [
        "layer {" * 100_000,
        "layer { relu_param {" * 100_000,
        "[" * 1_000_000,
        "{" * 1_000_000,
        "x" * 1_000_000,
        'name: "' + "x" * 1_000_000,
        'name: "' + "\\" * 1_000_001,
        "layer { name: 'x' }" * 5_000 + "layer { param { typo: 1 } }",
    ],
    ids=range(8),
)
def test_hostile_texts_end_in_a_short_message_with_little_memory(text):
    tracemalloc.start()
    try:
        message = message_of(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(message) < 250
    assert peak < 130 * len(text)


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(CaffeError, match=r"none\.prototxt: cannot read: No such file"):
        read_text(tmp_path / "none.prototxt", caffe_pb2.NetParameter())
    with pytest.raises(CaffeError, match="cannot read: Is a directory"):
        read_text(tmp_path, caffe_pb2.NetParameter())


def test_a_net_given_as_solver_says_whose_field_it_is(tmp_path):
    with pytest.raises(
        CaffeError, match="has no field 'input_dim'; it belongs into train_net_param"
    ):
        read(tmp_path, b"input_dim: 1", caffe_pb2.SolverParameter)
