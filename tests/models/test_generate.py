"""The program that writes the nets: its files, --check, nets for a data set of the user's own."""

import json

import pytest

import caffe
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text
from models import generate


def test_files_and_program_agree():
    written = list(generate.files())
    tops = {generate.ROOT / path.relative_to(generate.ROOT).parts[0] for path, _, _ in written}
    there = {path for top in tops for path in top.rglob("*") if path.is_file()}
    assert there == {path for path, _, _ in written}
    for path, head, message in written:
        assert not generate.differs(path, message, head), path


def test_check_names_the_files_that_differ(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["generate.py", "--check"])
    assert generate.main() == 1
    count = len(list(generate.files()))
    assert capsys.readouterr().out == f"{count} files, {count} differ\n"
    monkeypatch.setattr("sys.argv", ["generate.py"])
    assert generate.main() == 0
    changes = {
        "coco/stage1/train.prototxt": ("kernel_size: 3", "kernel_size: 5"),
        "nuswide/presets.json": ('"batch_size": 2', '"batch_size": 4'),
        "voc2007/stage2/readme.md": ("12 epochs", "13 epochs"),
    }
    for name, (old, new) in changes.items():
        path = tmp_path / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
    monkeypatch.setattr("sys.argv", ["generate.py", "--check"])
    assert generate.main() == 1
    named = {line.partition(": differs from")[0] for line in capsys.readouterr().err.splitlines()}
    assert named == {str(tmp_path / name) for name in changes}


def run(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["generate.py", *words])
    return generate.main()


@pytest.mark.parametrize(("like", "side", "boxes"), [("demo", 96, 64), ("coco", 224, 500)])
def test_nets_for_a_set_of_ones_own(tmp_path, monkeypatch, capsys, like, side, boxes):
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    words = ("--dataset", "birds", "--classes", "9", "--images", "170", "--like", like)
    assert run(monkeypatch, *words) == 0
    count = sum(path.is_file() for path in tmp_path.rglob("*"))
    assert capsys.readouterr().out == f"{count} files written\n"
    assert {path.name for path in tmp_path.iterdir()} == {"birds"}
    assert not (tmp_path / "birds/pretrain").exists()
    net = caffe.Net(str(tmp_path / "birds/student/deploy.prototxt"), caffe.TEST)
    assert (net.blobs["data"].shape, net.blobs["p"].shape) == ((1, 3, side, side), (1, 9))
    net = read_text(tmp_path / "birds/wsddn/train.prototxt", caffe_pb2.NetParameter())
    data = json.loads(net.layer[0].python_param.param_str)
    assert (data["source"], data["boxes"]) == ("data/birds/train", boxes)
    solver = read_text(tmp_path / "birds/student/solver.prototxt", caffe_pb2.SolverParameter())
    assert solver.net == "models/birds/student/train.prototxt"
    assert solver.snapshot == 6  # an epoch: 170 images in batches of 32
    assert run(monkeypatch, *words, "--check") == 0
    assert capsys.readouterr().out == f"{count} files, 0 differ\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--dataset", "coco"], "expected a name of a-z, 0-9, _ and - that is not one of ours"),
        (["--dataset", "imagenet"], "that is not one of ours, got 'imagenet'"),
        (["--dataset", "a/b"], "got 'a/b'"),
        (["--dataset", "birds", "--classes", "9"], "--dataset needs --classes and --images"),
        (["--dataset", "birds", "--classes", "0", "--images", "1"], "both at least 1"),
        (["--classes", "9"], "--classes and --images belong to --dataset"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    with pytest.raises(SystemExit):
        run(monkeypatch, *words)
    assert told in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
