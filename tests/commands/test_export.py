"""caffe export: the file of each format, what the command prints, its errors, and no file then."""

import json
import re
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors.torch import load_file

import caffe
from caffe import cli
from caffe.commands import export
from caffe.export import onnx_model
from tests.export.layer_cases import net

NET = """name: "small"
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 7 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "ip" type: "InnerProduct" bottom: "c" top: "y" inner_product_param { num_output: 6 } }
"""


@pytest.fixture
def files(tmp_path):
    """Model and weights as flags."""
    return write(tmp_path, NET)


def write(folder, text: str) -> list[str]:
    made = net(text)
    (folder / "net.prototxt").write_text(text, encoding="utf-8")
    made.save(folder / "w.caffemodel")
    return ["--model", f"{folder}/net.prototxt", "--weights", f"{folder}/w.caffemodel"]


def run(*words: object) -> int:
    return cli.main(["export", *map(str, words)])


def fails(capsys, *words: object) -> str:
    """The one line on stderr with which it fails."""
    assert run(*words) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("caffe: ")
    return line.removeprefix("caffe: ")


def expected(files) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(9).standard_normal((2, 3, 7, 5), np.float32)
    loaded = caffe.Net(files[1], files[3], caffe.TEST)
    return x, loaded.forward(x=x)["y"]


def test_onnx(files, tmp_path, capsys):
    path = tmp_path / "new" / "net.onnx"
    assert run(*files, "--to", "onnx", path) == 0
    out = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"y: onnxruntime differs by \S+", out[0])
    assert out[1] == f"{path}: {path.stat().st_size:,} bytes"
    session = onnxruntime.InferenceSession(path)
    x, y = expected(files)
    np.testing.assert_allclose(session.run(["y"], {"x": x})[0], y, rtol=1e-5, atol=1e-5)
    model = onnx.load(path)
    assert (model.graph.name, model.producer_name) == ("small", "caffe")
    names = {tensor.name for tensor in model.graph.initializer}
    assert {"conv.0", "conv.1", "ip.0", "ip.1"} <= names
    assert [*tmp_path.glob("new/*")] == [path]


def test_torchscript_without_this_package(files, tmp_path, capsys):
    path = tmp_path / "net.pt"
    assert run(*files, "--to", "torchscript", path) == 0
    assert capsys.readouterr().out.startswith("y: torch differs by ")
    x, y = expected(files)
    np.save(tmp_path / "x.npy", x)
    program = (
        "import sys, numpy, torch\n"
        "about = {'caffe.json': ''}\n"
        "net = torch.jit.load('net.pt', _extra_files=about)\n"
        "numpy.save('y.npy', net(torch.from_numpy(numpy.load('x.npy'))).detach().numpy())\n"
        "assert 'caffe' not in sys.modules\n"
        "print(about['caffe.json'].decode())\n"
    )
    command = [sys.executable, "-I", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), y)
    assert json.loads(done.stdout) == {"name": "small", "inputs": ["x"], "outputs": ["y"]}


def test_safetensors(files, tmp_path, capsys):
    path = tmp_path / "weights"
    assert run(*files, "--to", "safetensors", path) == 0
    assert capsys.readouterr().out == f"{path}: {path.stat().st_size:,} bytes\n"
    tensors, loaded = load_file(path), caffe.Net(files[1], files[3], caffe.TEST)
    assert set(tensors) == {"conv.0", "conv.1", "ip.0", "ip.1"}
    assert np.array_equal(tensors["ip.0"], loaded.params["ip"][0].data)


def test_a_file_that_is_there_is_kept(files, tmp_path, capsys):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"mine")
    line = fails(capsys, *files, "--to", "onnx", path)
    assert line == f"{path}: is there already; give --force to replace it"
    assert path.read_bytes() == b"mine"
    assert run(*files, "--to", "onnx", path, "--force") == 0
    assert onnx.load(path)


def test_a_layer_that_cannot_go_is_named_and_nothing_written(tmp_path, capsys):
    pixels = NET.replace("dim: 3 dim: 7", "dim: 1 dim: 7")
    text = (
        pixels
        + 'layer { name: "u" type: "UniqueLabel" bottom: "x" top: "u" '
        + "unique_label_param { max_labels: 9 } }"
    )
    files = write(tmp_path, text)
    line = fails(capsys, *files, "--to", "onnx", tmp_path / "n.onnx")
    words = 'layer "u" (UniqueLabel): cannot go to ONNX: no standard operators compute it'
    assert line == words
    line = fails(capsys, *files, "--to", "torchscript", tmp_path / "n.pt")
    assert line.startswith('layer "u" (UniqueLabel): cannot go to TorchScript: it looks at its')
    assert not [*tmp_path.glob("n.*")]


def test_an_unknown_layer(tmp_path, capsys):
    (tmp_path / "net.prototxt").write_text(NET.replace("ReLU", "ReLo"), encoding="utf-8")
    line = fails(capsys, "--model", tmp_path / "net.prototxt", "--to", "onnx", tmp_path / "n.onnx")
    assert line.startswith('layer "relu": unknown layer type "ReLo"; did you mean ReLU')


def test_random_weights_do_not_go(files, tmp_path, capsys):
    path = tmp_path / "n.onnx"
    line = fails(capsys, *files[:2], "--to", "onnx", path)
    words = "nothing there for conv, ip; what would be exported are random numbers"
    assert line == f"--weights (none): {words}"
    caffe.Net(files[1], files[3], caffe.TEST).save(tmp_path / "w.safetensors")
    (tmp_path / "more.prototxt").write_text(NET.replace('"ip"', '"other"'), encoding="utf-8")
    line = fails(capsys, "--model", tmp_path / "more.prototxt", *files[2:], "--to", "onnx", path)
    assert line.endswith("w.caffemodel: nothing there for other; " + words.partition("; ")[2])
    assert not path.exists()


def test_weights_of_several_files(files, tmp_path):
    loaded = caffe.Net(files[1], files[3], caffe.TEST)
    parts = []
    for name in ("conv", "ip"):
        part = NET.replace('"conv" type', '"c2" type') if name == "ip" else NET
        part = part.replace('"ip" type', '"ip2" type') if name == "conv" else part
        made = net(part)
        for blob, mine in zip(made.params[name], loaded.params[name], strict=True):
            blob.data[...] = mine.data
        parts.append(str(tmp_path / f"{name}.caffemodel"))
        made.save(parts[-1])
    path = tmp_path / "n.onnx"
    assert run(*files[:2], "--weights", ",".join(parts), "--to", "onnx", path) == 0
    x, y = expected(files)
    got = onnx_model.run(path.read_bytes(), {"x": x})["y"]
    np.testing.assert_allclose(got, y, rtol=1e-5, atol=1e-5)


def test_other_numbers_are_not_written(files, tmp_path, capsys, monkeypatch):
    path = tmp_path / "n.onnx"
    right = onnx_model.run
    monkeypatch.setattr(
        onnx_model, "run", lambda *args: {name: y + 0.5 for name, y in right(*args).items()}
    )
    line = fails(capsys, *files, "--to", "onnx", path)
    assert re.fullmatch(
        r'net "small": onnxruntime gives other numbers \(y by \S+\); nothing was written. Give a '
        "larger --tolerance, or --noverify",
        line,
    )
    assert not path.exists()
    assert run(*files, "--to", "onnx", path, "--tolerance", "9") == 0
    assert "y: onnxruntime differs by " in capsys.readouterr().out
    assert run(*files, "--to", "onnx", path, "--noverify", "--force") == 0
    assert "differs" not in capsys.readouterr().out


@pytest.mark.parametrize("to", ["onnx", "torchscript"])
def test_outputs_of_nan_show_nothing(files, tmp_path, capsys, to):
    broken = caffe.Net(files[1], files[3], caffe.TEST)
    broken.params["ip"][1].data[...] = np.nan
    broken.save(files[3])
    path = tmp_path / "n"
    assert fails(capsys, *files, "--to", to, path) == (
        'net "small": y: nothing but NaN on random inputs, so that there is nothing to compare; '
        "nothing was written. Look at the weights, or --noverify"
    )
    assert not path.exists()


def test_without_onnx(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    line = fails(capsys, *files, "--to", "onnx", tmp_path / "n.onnx")
    assert line == (
        "the Python package onnx is not installed; get it with: pip install -e '.[export]'"
    )


def test_without_onnxruntime(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    assert run(*files, "--to", "onnx", tmp_path / "n.onnx") == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert said == "not compared with the net: the Python package onnxruntime is not installed"


@pytest.mark.parametrize("words", [("--to", "tflite"), ("--to",), ()])
def test_wrong_formats(files, words, capsys):
    with pytest.raises(SystemExit) as error:
        run(*files, *words, "out")
    assert error.value.code == 2
    assert "--to" in capsys.readouterr().err


def test_wrong_paths(files, tmp_path, capsys):
    gone = tmp_path / "gone.caffemodel"
    line = fails(capsys, *files[:2], "--weights", gone, "--to", "onnx", tmp_path / "n.onnx")
    assert line.startswith(str(gone))
    (tmp_path / "file").touch()
    line = fails(capsys, *files, "--to", "onnx", tmp_path / "file" / "n.onnx")
    assert "cannot write" in line


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert "caffe export --model deploy.prototxt --weights w.caffemodel --to onnx net.onnx" in shown
