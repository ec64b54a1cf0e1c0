"""Python: the user's class, its parameters, its errors, tops that change their shape."""

import sys
import types

import numpy as np
import pytest

import caffe
from tests.layer_checks import net_from_text

HEAD = (
    'force_backward:true layer{name:"in" type:"Input" top:"x"'
    " input_param{shape{dim:2 dim:3 dim:4}}}"
)
TEXT = (
    HEAD + 'layer{name:"l" type:"Python" bottom:"x" top:"y"'
    ' python_param{module:"user_layers" layer:"%s" param_str:"%s"}}'
)


class Times(caffe.Layer):
    """y = x * factor * w, w one learned number; the factor is param_str."""

    def setup(self, bottom, top):
        self.factor = float(self.param_str)
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = 1

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * self.factor * self.blobs[0].data[0]

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff * self.factor * self.blobs[0].data[0]
        self.blobs[0].diff[0] += (top[0].diff * bottom[0].data).sum() * self.factor


class Positive(caffe.Layer):
    """y: the positive numbers of x, so another count with each forward."""

    def reshape(self, bottom, top):
        top[0].reshape(max(1, int((bottom[0].data > 0).sum())))

    def forward(self, bottom, top):
        found = bottom[0].data[bottom[0].data > 0]
        top[0].data[...] = found if len(found) else 0

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 0
        bottom[0].diff[bottom[0].data > 0] = top[0].diff


class Counts(caffe.Layer):
    """A data layer: each pass adds 1 to what its top still holds of the last one."""

    def reshape(self, bottom, top):
        top[0].reshape(2, 3)

    def forward(self, bottom, top):
        top[0].data[...] += 1


class CutInPlace(caffe.Layer):
    """x becomes 0 where it is negative; forward and backward write where they read."""

    def forward(self, bottom, top):
        top[0].data[...] *= bottom[0].data > 0

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] *= top[0].data > 0


class Fails(Times):
    """Raises in the method that param_str names."""

    def setup(self, bottom, top):
        if self.param_str == "setup":
            raise ValueError("in setup")

    def reshape(self, bottom, top):
        if self.param_str == "reshape" and bottom[0].num == 5:
            raise RuntimeError("in reshape")

    def forward(self, bottom, top):
        if self.param_str == "forward":
            raise IndexError("in forward")

    def backward(self, top, propagate_down, bottom):
        raise TypeError("in backward")


@pytest.fixture(autouse=True)
def _user_module(monkeypatch):
    module = types.ModuleType("user_layers")
    for cls in (Times, Positive, Counts, CutInPlace, Fails):
        setattr(module, cls.__name__, cls)
    module.number = 3
    monkeypatch.setitem(sys.modules, "user_layers", module)


def test_forward_backward_and_parameters(tmp_path):
    net = net_from_text(tmp_path, TEXT % ("Times", "2"))
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    net.blobs["x"].data[...] = x
    net.params["l"][0].data[...] = 5
    np.testing.assert_allclose(net.forward()["y"], 10 * x, rtol=1e-6)
    net.backward(y=np.full((2, 3, 4), 3, np.float32))
    np.testing.assert_allclose(net.blobs["x"].diff, 30)
    np.testing.assert_allclose(net.params["l"][0].diff, [6 * x.sum()], rtol=1e-5)


def test_in_place(tmp_path):
    middle = 'layer{name:"p" type:"Power" bottom:"x" top:"y" power_param{scale:3}}'
    tail = 'layer{name:"q" type:"Power" bottom:"y" top:"z" power_param{scale:5}}'
    layer = TEXT.removeprefix(HEAD).replace('bottom:"x"', 'bottom:"y"') % ("CutInPlace", "")
    net = net_from_text(tmp_path, HEAD + middle + layer + tail)
    for seed in (0, 1):
        x = np.random.default_rng(seed).standard_normal((2, 3, 4)).astype(np.float32)
        net.blobs["x"].data[...] = x
        out = net.forward()["z"]
        np.testing.assert_allclose(out, 15 * np.maximum(x, 0), rtol=1e-6)
        net.backward(z=np.ones((2, 3, 4)))
        np.testing.assert_allclose(net.blobs["x"].diff, 15 * (x > 0))


def test_parameter_gradients_add_up_until_cleared(tmp_path):
    net = net_from_text(tmp_path, TEXT % ("Times", "2"))
    net.blobs["x"].data[...] = 1
    for _ in range(2):
        net.forward()
        net.backward(y=np.ones((2, 3, 4), np.float32))
    np.testing.assert_allclose(net.params["l"][0].diff, [96])
    net.clear_param_diffs()
    np.testing.assert_allclose(net.params["l"][0].diff, [0])


def test_top_that_changes_its_shape(tmp_path):
    net = net_from_text(tmp_path, TEXT % ("Positive", ""))
    for values in ([1, -1, 2], [3, 4, 5], [-1, -2, -3]):
        x = np.broadcast_to(np.array(values, np.float32)[:, None], (2, 3, 4))
        net.blobs["x"].data[...] = x
        want = x[x > 0] if (x > 0).any() else [0]
        np.testing.assert_array_equal(net.forward()["y"], want)
        net.backward(y=np.full(len(want), 7, np.float32))
        np.testing.assert_array_equal(net.blobs["x"].diff, 7 * (x > 0))


@pytest.mark.parametrize("looked", [False, True])
def test_data_layer_keeps_its_memory_as_the_nets(tmp_path, looked):
    layer = (
        'layer{name:"l" type:"Python" top:"y" python_param{module:"user_layers" layer:"Counts"}}'
    )
    net = net_from_text(
        tmp_path,
        f"force_backward:true {layer}"
        'layer{name:"p" type:"Power" bottom:"y" top:"y" power_param{scale:5}}'
        'layer{name:"q" type:"Power" bottom:"y" top:"z" power_param{power:2}}',
    )
    for number in (1, 2, 3):
        if looked:
            assert net.blobs["y"].data.shape == (2, 3)
        np.testing.assert_array_equal(net.forward()["z"], np.full((2, 3), (5 * number) ** 2))
        net.backward(z=np.ones((2, 3), np.float32))
        np.testing.assert_array_equal(net.blobs["y"].data, np.full((2, 3), 5 * number))


def test_errors_of_the_user_stay_as_they_are(tmp_path):
    with pytest.raises(ValueError, match=r"^in setup$"):
        net_from_text(tmp_path, TEXT % ("Fails", "setup"))
    net = net_from_text(tmp_path, TEXT % ("Fails", "reshape"))
    net.blobs["x"].reshape(5, 3, 4)
    with pytest.raises(RuntimeError, match=r"^in reshape$") as error:
        net.reshape()
    assert not isinstance(error.value, caffe.CaffeError)
    net = net_from_text(tmp_path, TEXT % ("Fails", "forward"))
    with pytest.raises(IndexError, match=r"^in forward$"):
        net.forward()
    net = net_from_text(tmp_path, TEXT % ("Fails", "backward"))
    net.forward()
    with pytest.raises(TypeError, match="in backward"):
        net.backward()


@pytest.mark.parametrize(
    ("module", "layer", "message"),
    [
        ("no_such_module", "Times", 'no module "no_such_module"; put its folder on PYTHONPATH'),
        ("user_layers", "Missing", 'module "user_layers" has no caffe.Layer "Missing"'),
        ("user_layers", "number", 'module "user_layers" has no caffe.Layer "number"'),
    ],
)
def test_class_that_is_not_there(tmp_path, module, layer, message):
    text = (TEXT % (layer, "")).replace("user_layers", module)
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(Python\): {message}'):
        net_from_text(tmp_path, text)
