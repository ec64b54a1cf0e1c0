"""caffe weights: what each action prints and writes, its exit codes and errors."""

import shutil

import numpy as np
import pytest

from caffe import cli, weights_file
from caffe.weights import LayerWeights, NetWeights
from tests.solver_checks import SOLVERS

ADAM, SGD = (str(SOLVERS / f"{name}_iter_12.caffemodel") for name in ("adam", "sgd_fixed"))


def _run(*words: object) -> int:
    return cli.main(["weights", *map(str, words)])


def _write(path, **layers: list[float]):
    found = [LayerWeights(name, [np.array(blob, np.float32)]) for name, blob in layers.items()]
    weights_file.write(path, NetWeights(found))
    return path


def _layers(path) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.blobs for layer in weights_file.read(path).layers if layer.blobs}


def _first(path) -> dict[str, float]:
    """The first number of each layer."""
    return {name: blobs[0][0] for name, blobs in _layers(path).items()}


def _rows(out: str) -> list[list[str]]:
    """The cells of the table's body."""
    lines = [line for line in out.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_list_prints_a_row_for_each_layer_with_weights(tmp_path, capsys):
    """The whole width, for it goes to no terminal."""
    name = "[bold]" + "x" * 200
    layers = [
        LayerWeights("data", [], "Input"),
        LayerWeights(name, [np.full((4, 3, 7, 5), -0.5, np.float32)], "Convolution"),
        LayerWeights("fc", [np.float32([[1, -2], [3, 4]]), np.zeros(0, np.float32)], "PReLU"),
    ]
    weights_file.write(tmp_path / "w.caffemodel", NetWeights(layers))
    assert _run("list", tmp_path / "w.caffemodel") == 0
    assert _rows(capsys.readouterr().out) == [
        [name, "Convolution", "(4, 3, 7, 5)", "420", "0.5"],
        ["fc", "PReLU", "(2, 2) (0,)", "4", "2.5, nothing"],
        ["2 layers", "", "", "424", ""],
    ]


def test_list_says_what_another_layer_owns(tmp_path, capsys):
    shared = np.ones((3, 2), np.float32)
    layers = [LayerWeights("a", [shared]), LayerWeights("b", [shared, np.zeros(5, np.float32)])]
    weights_file.write(tmp_path / "w.h5", NetWeights(layers))
    assert _run("list", tmp_path / "w.h5") == 0
    assert "shared (5,)" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".h5", ".caffemodel.h5", ".safetensors"])
def test_convert_there_and_back_loses_nothing(tmp_path, suffix):
    between, back = tmp_path / f"w{suffix}", tmp_path / "w.caffemodel"
    assert _run("convert", ADAM, between) == 0
    assert _run("convert", between, back) == 0
    assert _run("diff", ADAM, back) == 0
    mine, theirs = weights_file.read(back), weights_file.read(ADAM)
    assert mine.name == theirs.name
    for got, want in zip(mine.layers, theirs.layers, strict=True):
        assert (got.name, got.type, got.bottoms, got.tops) == (
            *(want.name, want.type, want.bottoms, want.tops),
        )
        assert [blob.shape for blob in got.blobs] == [blob.shape for blob in want.blobs]


def test_rename_by_globs_the_first_that_fits(tmp_path):
    source = _write(tmp_path / "w.h5", conv1_1=[1], conv2_1=[2], fc6=[6], fc7=[7], other=[0])
    out = tmp_path / "out.caffemodel"
    rules = ["conv1_*=first/*", "conv?_*=student_conv*_x*", "fc6=a.b", r"fc*=\*"]
    assert _run("rename", source, out, *rules) == 0
    assert list(_layers(out)) == ["first/1", "student_conv2_x1", "a.b", "\\7", "other"]


def test_rename_by_regular_expressions(tmp_path, capsys):
    source = _write(tmp_path / "w.h5", conv1_1=[1], conv2_3=[2])
    out = tmp_path / "out.h5"
    assert _run("rename", "--regex", source, out, r"conv(\d)_(\d)=c\2.\1") == 0
    assert list(_layers(out)) == ["c1.1", "c3.2"]
    assert capsys.readouterr().out == f"{out}: 2 layers with weights\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["conv9=x"], 'rule "conv9=x": it fits no layer (with weights: conv1, conv2)'),
        (["conv1"], 'rule "conv1": expected OLD=NEW'),
        (["conv1="], 'rule "conv1=": expected OLD=NEW'),
        (["conv1=a*"], 'rule "conv1=a*": invalid group reference'),
        (["--regex", "(=x"], 'rule "(=x": missing )'),
        (["conv?=x"], 'layers "conv1" and "conv2" would both be called "x"'),
        (["conv1=conv2"], 'layers "conv1" and "conv2" would both be called "conv2"'),
    ],
)
def test_rename_names_the_rule_and_writes_nothing(tmp_path, capsys, words, message):
    source = _write(tmp_path / "w.h5", conv1=[1], conv2=[2])
    assert _run("rename", source, tmp_path / "out.h5", *words) == 1
    assert capsys.readouterr().err.startswith(f"caffe: {message}")
    assert not (tmp_path / "out.h5").exists()


def test_rename_may_swap_and_keeps_layers_of_one_name(tmp_path):
    layers = [LayerWeights(name, [np.float32([i])]) for i, name in enumerate("abb")]
    weights_file.write(tmp_path / "w.caffemodel", NetWeights(layers))
    assert _run("rename", tmp_path / "w.caffemodel", tmp_path / "o.caffemodel", "a=b", "b=a") == 0
    found = weights_file.read(tmp_path / "o.caffemodel").layers
    assert [(layer.name, layer.blobs[0][0]) for layer in found] == [("b", 0), ("a", 1), ("a", 2)]


def test_merge_later_files_win_in_place(tmp_path, capsys):
    one = _write(tmp_path / "1.h5", a=[1], b=[2], c=[3])
    two = _write(tmp_path / "2.safetensors", d=[4], b=[5])
    three = _write(tmp_path / "3.caffemodel", b=[6])
    out = tmp_path / "out.caffemodel"
    assert _run("merge", one, two, three, out) == 0
    assert _first(out) == {"a": 1, "b": 6, "c": 3, "d": 4}
    assert list(_layers(out)) == ["a", "b", "c", "d"]
    assert capsys.readouterr().out == (
        f"{out}: 4 layers with weights\nReplaced by a later file's: b, b\n"
    )


def test_merge_with_prefixes(tmp_path, capsys):
    one, two = _write(tmp_path / "1.h5", a=[1], b=[2]), _write(tmp_path / "2.h5", a=[3])
    out = tmp_path / "out.h5"
    assert _run("merge", one, two, out, "--prefix", "t_,") == 0
    assert _first(out) == {"t_a": 1, "t_b": 2, "a": 3}
    assert _run("merge", one, two, out, "--prefix", "t_", "--force") == 1
    assert "--prefix: expected 2 of them, one each file" in capsys.readouterr().err


def test_diff_prints_the_largest_difference_of_each_layer(tmp_path, capsys):
    one = _write(tmp_path / "1.h5", a=[1, 2], b=[3], c=[[4, 5]], d=[1])
    two = _write(tmp_path / "2.caffemodel", a=[1, 2.25], b=[3], c=[[[4], [5]]], e=[1])
    assert _run("diff", one, two, "--tolerance=0.1") == 1
    out = capsys.readouterr().out
    assert _rows(out) == [
        ["a", "0.25", "differs"],
        ["b", "0", ""],
        ["c", "shapes (1, 2) and (1, 2, 1)", "differs"],
        ["d", "only in the first", "differs"],
        ["e", "only in the second", "differs"],
    ]
    assert out.endswith("4 of 5 layers differ by more than 0.1\n")


@pytest.mark.parametrize(
    ("one", "two", "code"),
    [
        ([1, 2], [1, 2.5], 0),
        ([1, 2], [1, 2.75], 1),
        ([1, np.nan], [1, np.nan], 0),
        ([1, np.nan], [1, 2], 1),
        ([1, np.inf], [2, np.inf], 1),
        ([1, np.inf], [1, np.inf], 0),
        ([1, 2], [[[[1, 2]]]], 0),  # as old files pad shapes
    ],
)
def test_diffs_exit_code(tmp_path, one, two, code):
    paths = _write(tmp_path / "1.h5", a=one), _write(tmp_path / "2.h5", a=two)
    for pair in (paths, paths[::-1]):
        assert _run("diff", *pair, "--tolerance", 0.5) == code


def test_diff_tells_the_goldens_apart(capsys):
    assert _run("diff", ADAM, ADAM) == 0
    assert _run("diff", ADAM, SGD) == 1
    assert capsys.readouterr().out.endswith("layers differ by more than 0\n")


@pytest.mark.parametrize(
    "words",
    [("convert", "{w}", "{o}"), ("rename", "{w}", "{o}", "a=b"), ("merge", "{w}", "{w}", "{o}")],
)
def test_what_is_there_is_replaced_with_force_only(tmp_path, capsys, words):
    """Also if it is what is read."""
    source, other = _write(tmp_path / "w.h5", a=[1]), _write(tmp_path / "o.h5", x=[2])
    for out in (source, other):
        before = out.read_bytes()
        given = [word.format(w=source, o=out) for word in words]
        assert _run(*given) == 1
        assert capsys.readouterr().err == (
            f"caffe: {out}: is there already; give --force to replace it\n"
        )
        assert out.read_bytes() == before
        assert _run(*given, "--force") == 0
        name = "b" if words[0] == "rename" else "a"
        assert _first(out) == {name: 1}
        _write(source, a=[1])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "none.h5"], "none.h5: cannot read: No such file or directory"),
        (["convert", ADAM, "x.safetensor"], "x.safetensor: expected a name that ends in .caffe"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert _run(*words) == 1
    assert capsys.readouterr().err.startswith(f"caffe: {message}")
    assert not list(tmp_path.iterdir())


def test_a_terminal_gets_its_own_width(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    shutil.copy(ADAM, tmp_path / "w.caffemodel")
    assert _run("list", tmp_path / "w.caffemodel") == 0
    assert "\x1b[" in capsys.readouterr().out
