"""How the layers of a file and of a net go together, and that misfits change nothing."""

import numpy as np
import pytest

import caffe
from caffe import caffemodel, weights
from caffe.weights import LayerWeights, NetWeights, keys
from tests.layer_checks import net_from_text

INPUT = (
    'name: "n" layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'
)


def _fc(name: str, bottom: str, top: str, outputs: int, param: str = "") -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" {param} '
        f'inner_product_param {{ num_output: {outputs} weight_filler {{ type: "gaussian" }} }} }}'
    )


def _layer(name: str, *shapes: tuple[int, ...], seed: int = 0) -> LayerWeights:
    rng = np.random.default_rng(seed)
    return LayerWeights(name, [rng.standard_normal(s).astype(np.float32) for s in shapes])


def _load(net, *layers: LayerWeights) -> None:
    weights.load(net._layers, NetWeights(list(layers)), "w.caffemodel")


def _numbers(net) -> list[np.ndarray]:
    return [blob.data.copy() for layer in net._layers for blob in layer.blobs]


def _assert_loaded(layer, given: LayerWeights) -> None:
    for blob, array in zip(layer.blobs, given.blobs, strict=True):
        np.testing.assert_array_equal(blob.data, array)


@pytest.fixture
def net(tmp_path):
    return net_from_text(tmp_path, INPUT + _fc("a", "x", "h", 4) + _fc("b", "h", "y", 5))


@pytest.fixture
def twins(tmp_path):
    """Three layers "fc", a ReLU of that name in front of the second."""
    relu = 'layer { name: "fc" type: "ReLU" bottom: "h" top: "h" }'
    layers = _fc("fc", "x", "h", 4), relu, _fc("fc", "h", "y", 5), _fc("fc", "y", "z", 6)
    return net_from_text(tmp_path, INPUT + "".join(layers))


def test_what_has_no_partner_is_logged_and_keeps_its_numbers(net, caplog):
    caplog.set_level("INFO", logger="caffe")
    before = _numbers(net)
    given = _layer("b", (5, 4), (5,))
    _load(net, _layer("other", (2,)), given, LayerWeights("loss", []))
    _assert_loaded(net.layer_dict["b"], given)
    np.testing.assert_array_equal(net.params["a"][0].data, before[0])
    assert "Ignoring source layer other\n" in caplog.text
    assert "Ignoring source layer loss\n" in caplog.text
    assert "w.caffemodel has no weights for a: they keep theirs" in caplog.text


def test_every_misfit_is_listed_and_nothing_is_copied(net):
    before = _numbers(net)
    with pytest.raises(caffe.CaffeError) as error:
        _load(net, _layer("a", (4, 3), (4,)), _layer("b", (6, 4), (6,)))
    assert str(error.value) == (
        'w.caffemodel: layer "b", blob 0: the net expects shape (5, 4), the file has (6, 4); '
        'layer "b", blob 1: the net expects shape (5,), the file has (6,); nothing was copied '
        "(fitting layers: a). Rename a layer to train it from scratch"
    )
    assert all(map(np.array_equal, _numbers(net), before))


@pytest.mark.parametrize(("shapes", "count"), [([], 0), ([(5, 4)], 1), ([(5, 4), (5,), (1,)], 3)])
def test_another_number_of_blobs_is_a_misfit(net, shapes, count):
    text = rf'layer "b": the net expects 2 blob\(s\), the file has {count}; nothing was copied'
    with pytest.raises(caffe.CaffeError, match=text):
        _load(net, _layer("a", (4, 3), (4,)), _layer("b", *shapes))


def test_blobs_for_a_layer_without_any_are_a_misfit(tmp_path):
    net = net_from_text(tmp_path, INPUT + 'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }')
    with pytest.raises(caffe.CaffeError, match=r'"r": the net expects 0 blob\(s\), the file has 1'):
        _load(net, _layer("r", (3,)))
    _load(net, _layer("s", (3,)))  # a net without parameters takes anything


def test_a_file_of_another_net_is_an_error(net):
    names = [f"conv{i}" for i in range(13)]
    with pytest.raises(caffe.CaffeError) as error:
        _load(net, LayerWeights("a", [None]), *[_layer(name, (3,)) for name in names])
    assert 'layer "a": the net expects 2 blob(s), the file has 0' in str(error.value)
    with pytest.raises(caffe.CaffeError) as error:
        _load(net, LayerWeights("in", []), *[_layer(name, (3,)) for name in names])
    assert str(error.value) == (
        "w.caffemodel: no layer of it is in this net, nothing was copied; the file has weights for "
        f"{', '.join(names[:10])} and 3 more; the net has a, b"
    )


def test_the_kth_of_a_name_goes_to_the_kth(twins):
    first, second, third = (_layer("fc", (n, m), (n,), seed=n) for n, m in ((4, 3), (5, 4), (6, 5)))
    _load(twins, first, LayerWeights("fc", []), second, third)
    layers = [layer for layer in twins._layers if layer.blobs]
    for layer, given in zip(layers, (first, second, third), strict=True):
        _assert_loaded(layer, given)


def test_one_of_a_name_goes_to_the_first(twins):
    before = _numbers(twins)
    given = _layer("fc", (4, 3), (4,))
    _load(twins, LayerWeights("fc", []), given)
    _assert_loaded(twins._layers[1], given)
    assert all(map(np.array_equal, _numbers(twins)[2:], before[2:]))


def test_of_several_for_one_layer_the_last_counts_as_in_caffe(net):
    first, last = (_layer("a", (4, 3), (4,), seed=seed) for seed in (1, 2))
    _load(net, first, last)
    _assert_loaded(net.layer_dict["a"], last)


def test_saving_and_sharing_know_every_layer_of_a_name(tmp_path, twins):
    twins.save(tmp_path / "w.caffemodel")
    text = (tmp_path / "net.prototxt").read_text()
    loaded, sharing = net_from_text(tmp_path, text), net_from_text(tmp_path, text)
    loaded.copy_from(tmp_path / "w.caffemodel")
    sharing.share_with(twins)
    for mine, theirs in zip(_numbers(loaded), _numbers(twins), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for mine, theirs in zip(sharing._layers, twins._layers, strict=True):
        for blob, other in zip(mine.blobs, theirs.blobs, strict=True):
            assert np.shares_memory(blob.data, other.data)


def test_sharing_changes_nothing_if_one_layer_does_not_fit(tmp_path, net):
    other = net_from_text(tmp_path, INPUT + _fc("a", "x", "h", 4) + _fc("b", "h", "y", 6))
    pattern = (
        r'share_with: layer "b", blob 0: the net expects shape \(6, 4\), the other net has \(5'
    )
    with pytest.raises(caffe.CaffeError, match=pattern):
        other.share_with(net)
    assert not np.shares_memory(other.params["a"][0].data, net.params["a"][0].data)


def test_sharing_what_the_other_net_has_reshaped(tmp_path):
    param = 'param { name: "w" share_mode: PERMISSIVE }'
    chain = _fc("a", "x", "h", 4, param) + _fc("b", "h", "y", 3, param)
    other = net_from_text(tmp_path, INPUT + chain)
    net = net_from_text(tmp_path, INPUT + chain.replace(param, ""))
    net.share_with(other)
    for name, shape in (("a", (4, 3)), ("b", (3, 4))):
        assert net.params[name][0].shape == shape
        assert np.shares_memory(net.params[name][0].data, other.params["a"][0].data)


def test_a_shared_parameter_may_be_missing_where_it_is_not_owned(tmp_path):
    param = 'param { name: "w" } param { lr_mult: 2 }'
    chain = _fc("a", "x", "h", 3, param) + _fc("b", "h", "y", 3, param)
    net = net_from_text(tmp_path, INPUT + chain)
    owner, sharer = _layer("a", (3, 3), (3,)), _layer("b", (3, 3), (3,), seed=1)
    sharer.blobs[0] = None
    _load(net, owner, sharer)
    np.testing.assert_array_equal(net.params["b"][0].data, owner.blobs[0])
    np.testing.assert_array_equal(net.params["b"][1].data, sharer.blobs[1])
    owner.blobs[0] = None
    with pytest.raises(caffe.CaffeError, match=r'"a": the net expects 2 blob\(s\), the file has 1'):
        _load(net, owner, sharer)


def test_a_layer_that_owns_nothing_may_be_empty(tmp_path):
    param = 'param { name: "w" } param { name: "b" }'
    chain = _fc("a", "x", "h", 3, param) + _fc("b", "h", "y", 3, param)
    net = net_from_text(tmp_path, INPUT + chain)
    owner = _layer("a", (3, 3), (3,))
    _load(net, owner, LayerWeights("b", []))
    _assert_loaded(net.layer_dict["b"], owner)
    with pytest.raises(caffe.CaffeError, match=r'"a": the net expects 2 blob\(s\), the file has 0'):
        _load(net, _layer("b", (3, 3), (3,)), LayerWeights("a", []))


def test_diffs_are_saved_if_asked_and_loaded_with_the_blobs(tmp_path, net):
    rng = np.random.default_rng(2)
    for blob, _ in net.learnable():
        blob.diff[...] = rng.standard_normal(blob.shape)
    text = (tmp_path / "net.prototxt").read_text()
    for name in ("w.caffemodel", "w.caffemodel.h5", "w.safetensors"):
        net.save(tmp_path / name, write_diff=True)
        again = net_from_text(tmp_path, text)
        again.copy_from(tmp_path / name)
        for (mine, _), (theirs, _) in zip(again.learnable(), net.learnable(), strict=True):
            np.testing.assert_array_equal(mine.data, theirs.data)
            np.testing.assert_array_equal(mine.diff, theirs.diff)
    net.save(tmp_path / "w.caffemodel")
    assert not any(layer.diffs for layer in caffemodel.read(tmp_path / "w.caffemodel").layers)


def test_keys_are_all_different_and_layers_with_blobs_choose_first():
    layers = [
        LayerWeights("x", []),
        _layer("x", (1,)),
        _layer("layer 0", (1,)),
        _layer("x", (2,)),
        LayerWeights("", []),
    ]
    assert keys(layers) == ["layer 0_", "x", "layer 0", "layer 3", "layer 4"]
