"""caffe.Module: one memory with the net, gradients, state_dict, phases, PyTorch's own tools."""

import copy
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.func import functional_call
from torch.utils.data import DataLoader, TensorDataset

import caffe
from tests.export.layer_cases import net
from tests.layer_checks import relative_error

NET = """name: "small"
layer { name: "in" type: "Input" top: "x" top: "m"
  input_param { shape { dim: 2 dim: 3 dim: 7 dim: 5 } shape { dim: 2 dim: 4 } } }
layer { name: "c/1" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "bn" type: "BN" bottom: "c" top: "c" }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "pool" type: "Pooling" bottom: "c" top: "p"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "flat" type: "Flatten" bottom: "p" top: "f" }
layer { name: "drop" type: "Dropout" bottom: "f" top: "d" }
layer { name: "a.b" type: "InnerProduct" bottom: "d" top: "i"
  inner_product_param { num_output: 4 } }
layer { name: "y" type: "Eltwise" bottom: "i" bottom: "m" top: "y" }"""
LINE = """name: "line"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 1 } }"""
TWICE = """name: "twice"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" inner_product_param { num_output: 3 }
  param { name: "w" } param { lr_mult: 0 } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 3 }
  param { name: "w" } param { lr_mult: 0 } }"""


def inputs(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return (
        torch.randn(batch, 3, 7, 5, generator=generator),
        torch.randn(batch, 4, generator=generator),
    )


@pytest.fixture
def module() -> caffe.Module:
    return caffe.Module(net(NET))


def test_it_computes_what_the_net_does_and_leaves_its_blobs_alone(module):
    x, m = inputs()
    want = module.net.forward(x=x.numpy(), m=m.numpy())["y"].copy()
    module.net.blobs["c"].data[...] = 5
    assert np.array_equal(module(x, m).detach(), want)
    assert np.array_equal(module(m=m, x=x).detach(), want)
    assert np.array_equal(module(x, m=m).detach(), want)
    assert (module.net.blobs["c"].data == 5).all()


def test_any_batch_that_the_layers_allow(module):
    x, m = inputs(batch=3)
    whole = module(x, m)
    assert whole.shape == (3, 4)
    assert relative_error(module(x[2:], m[2:]).detach().numpy(), whole[2:].detach().numpy()) < 1e-6
    with pytest.raises(caffe.CaffeError, match=r'layer "c/1" \(Convolution\): .*channels'):
        module(x[:, :2], m)


def test_several_outputs_come_by_name():
    made = caffe.Module(
        net(
            NET.replace(
                'top: "d"', 'top: "d" } layer { name: "e" type: "AbsVal" bottom: "d" top: "e"'
            )
        )
    )
    out = made(*inputs())
    assert list(out) == ["e", "y"]
    assert torch.equal(out["e"], out["e"].abs())


def test_parameters_are_called_as_in_a_safetensors_file(module, tmp_path):
    names = ["c/1.0", "c/1.1", "bn.0", "bn.1", "bn.2", "bn.3", "a.b.0", "a.b.1"]
    assert [name for name, _ in module.named_parameters()] == names
    learned = [name for name, tensor in module.named_parameters() if tensor.requires_grad]
    assert learned == ["c/1.0", "c/1.1", "bn.0", "bn.1", "a.b.0", "a.b.1"]
    module.net.save(tmp_path / "w.safetensors")
    other = caffe.Module(net(NET))
    with torch.no_grad():
        for tensor in other.parameters():
            tensor.zero_()
    other.load_state_dict(load_file(tmp_path / "w.safetensors"))
    assert torch.equal(other(*inputs()), module(*inputs()))
    assert "(c/1): Convolution()" in repr(module)


def test_a_net_of_a_file_with_its_weights(module, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET, encoding="utf-8")
    module.net.save(tmp_path / "w.caffemodel")
    other = caffe.Module(tmp_path / "net.prototxt", tmp_path / "w.caffemodel")
    assert torch.equal(other(*inputs()), module(*inputs()))
    assert not other.training
    again = caffe.Module(net(NET), weights=tmp_path / "w.caffemodel")
    assert torch.equal(again(*inputs()), module(*inputs()))


def test_both_are_one_memory(module):
    weight, view = module.get_parameter("c/1.0"), module.net.params["c/1"][0].data
    view[1, 2, 0, 1] = 7
    assert weight[1, 2, 0, 1] == 7
    with torch.no_grad():
        weight[0, 0, 0, 0] = -3
    assert view[0, 0, 0, 0] == -3
    x, m = inputs()
    assert np.array_equal(module.net.forward(x=x.numpy(), m=m.numpy())["y"], module(x, m).detach())


def test_a_view_from_before_stays_current():
    made = net(NET)
    view = made.params["c/1"][0].data
    module = caffe.Module(made)
    with torch.no_grad():
        module.get_parameter("c/1.0").fill_(2)
    assert (view == 2).all()


def test_numbers_in_another_type_are_copies_until_they_are_back(module):
    x, m = inputs()
    want = module(x, m)
    module.double()
    assert module(x.double(), m.double()).dtype == torch.float64
    with pytest.raises(ValueError, match="read-only"):
        module.net.params["bn"][0].data[...] = 0
    module.float()
    assert torch.equal(module(x, m), want)
    module.net.params["bn"][0].data[...] = 0
    assert not module.get_parameter("bn.0").any()


def test_gradients_equal_the_nets_own(module):
    x, m = inputs()
    x.requires_grad_(True)
    weights = torch.arange(8.0).reshape(2, 4)
    (module(x, m) * weights).sum().backward()
    net_ = module.net
    net_.forward(x=x.detach().numpy(), m=m.numpy())
    net_.blobs["y"].diff[...] = weights
    net_.backward()
    for name, tensor in module.named_parameters():
        layer, _, index = name.rpartition(".")
        if tensor.requires_grad:
            blob = net_.params[layer][int(index)]
            assert relative_error(tensor.grad.numpy(), blob.diff) < 1e-6, name
        else:
            assert tensor.grad is None
    forced = net("force_backward: true " + NET)
    forced.share_with(net_)
    forced.forward(x=x.detach().numpy(), m=m.numpy())
    forced.blobs["y"].diff[...] = weights
    assert relative_error(x.grad.numpy(), forced.backward()["x"]) < 1e-6


def test_gradients_against_differences_in_float64(module):
    module.double()
    tensors = tuple(tensor.double().requires_grad_(True) for tensor in inputs())
    assert torch.autograd.gradcheck(module, tensors)


def test_a_frozen_parameter_stays_frozen_for_the_net_too(module):
    module.get_parameter("c/1.0").requires_grad_(False)
    x, m = inputs()
    module(x, m).sum().backward()
    assert module.get_parameter("c/1.0").grad is None
    module.net.forward(x=x.numpy(), m=m.numpy())
    module.net.backward(y=np.ones((2, 4)))
    assert not module.net.params["c/1"][0].diff.any()
    assert module.net.params["bn"][1].diff.any()


def test_a_shared_parameter_is_one():
    made = caffe.Module(net(TWICE))
    assert [name for name, _ in made.named_parameters()] == ["a.0", "a.1", "b.1"]
    assert made.get_parameter("a.0") is made.get_parameter("b.0")
    assert list(made.state_dict()) == ["a.0", "a.1", "b.0", "b.1"]
    assert not made.get_parameter("b.1").requires_grad
    x = torch.randn(2, 3)
    made(x).sum().backward()
    w, (bias, _) = made.get_parameter("a.0"), (made.get_parameter(f"{k}.1") for k in "ab")
    inner = (x @ w.t() + bias).detach()
    want = inner.sum(0).expand(3, 3) + w.detach().sum(0)[:, None] * x.sum(0)
    torch.testing.assert_close(w.grad, want)


def test_two_modules_of_one_net_have_the_same_parameters(module):
    other = caffe.Module(module.net)
    assert all(a is b for a, b in zip(module.parameters(), other.parameters(), strict=True))


def test_a_modules_net_keeps_its_parameters(module):
    with pytest.raises(caffe.CaffeError, match="share first and make the Module then"):
        module.net.share_with(net(NET))


def test_train_and_eval_set_the_phase(module):
    x, m = inputs()
    mean = module.get_parameter("bn.2")
    before, still = mean.clone(), module(x, m)
    assert torch.equal(module(x, m), still)
    assert module.train().training
    torch.manual_seed(0)
    assert not torch.equal(module(x, m), module(x, m)), "dropout"
    assert not torch.equal(mean, before), "moving averages"
    assert module.net.phase == module.net.layer_dict["drop"].phase == caffe.TRAIN
    module.eval()
    assert torch.equal(module(x, m), module(x, m))


def test_a_layer_with_a_phase_of_its_own_keeps_it():
    text = NET.replace('type: "Dropout"', 'type: "Dropout" phase: TEST')
    made = caffe.Module(net(text)).train()
    x, m = inputs()
    torch.manual_seed(0)
    assert torch.equal(made(x, m), made(x, m))
    assert made.net.layer_dict["drop"].phase == caffe.TEST


def test_a_batch_norm_layer_follows_the_phase():
    text = NET.replace('type: "BN"', 'type: "BatchNorm"').replace(
        'type: "Dropout"', 'type: "AbsVal"'
    )
    made = caffe.Module(net(text))
    x, m = inputs()
    fixed = made(x, m)
    assert not torch.allclose(made.train()(x, m), fixed)


def test_a_training_loop_of_pytorch_fits_a_line():
    torch.manual_seed(2)
    x = torch.randn(60, 3)
    data = DataLoader(TensorDataset(x, x @ torch.tensor([[1.0], [-2], [0.5]]) + 3), batch_size=20)
    made = caffe.Module(net(LINE))
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1, momentum=0.9)
    for _ in range(60):
        for batch, target in data:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(made(batch), target).backward()
            optimizer.step()
    np.testing.assert_allclose(made.net.params["ip"][0].data, [[1, -2, 0.5]], atol=1e-3)
    np.testing.assert_allclose(made.net.params["ip"][1].data, [3], atol=1e-3)


def test_a_copy_is_a_net_of_its_own(module):
    other = copy.deepcopy(module)
    assert torch.equal(other(*inputs()), module(*inputs()))
    with torch.no_grad():
        other.get_parameter("a.b.1").add_(1)
    torch.testing.assert_close(other(*inputs()), module(*inputs()) + 1)
    assert not np.array_equal(other.net.params["a.b"][1].data, module.net.params["a.b"][1].data)


def test_functional_call_puts_other_numbers_in(module):
    x, m = inputs()
    zeros = {name: torch.zeros_like(tensor) for name, tensor in module.named_parameters()}
    assert torch.equal(functional_call(module, zeros, (x, m)), m)
    assert not torch.equal(module(x, m), m)


def test_part_of_a_larger_model():
    made = caffe.Module(net(LINE))
    model = torch.nn.Sequential(made, torch.nn.ReLU(), torch.nn.Linear(1, 2))
    assert model.train()(torch.randn(5, 3)).shape == (5, 2)
    assert "0.ip.0" in model.state_dict()
    labels = torch.tensor([[1, 0, 2]])
    assert torch.equal(made(labels), made(labels.float()))


def test_data_layers_need_no_inputs():
    text = """layer { name: "d" type: "DummyData" top: "y"
      dummy_data_param { shape { dim: 2 dim: 3 } data_filler { value: 4 } } }"""
    assert torch.equal(caffe.Module(net(text))(), torch.full((2, 3), 4.0))


@pytest.mark.parametrize(
    ("given", "named", "got"),
    [
        (1, (), "a tensor"),
        (3, (), "a tensor, a tensor, a tensor"),
        (1, ("x",), "a tensor, x"),
        (0, ("x", "z"), "x, z"),
        (0, (), "none"),
    ],
)
def test_wrong_inputs(module, given, named, got):
    x, _ = inputs()
    words = f'net "small": expected one tensor for each of the inputs x, m; got {got}'
    with pytest.raises(caffe.CaffeError, match=f"^{re.escape(words)}$"):
        module(*[x] * given, **dict.fromkeys(named, x))


@pytest.mark.parametrize("name", ["train", "c/1.0"])
def test_a_name_that_pytorch_cannot_take(name):
    with pytest.raises(caffe.CaffeError, match=f'layer "{name}": a torch.nn.Module cannot have'):
        caffe.Module(net(NET.replace("a.b", name)))
