"""The model cards say what the solvers, presets and the README say."""

import json
import re

import cards
import cost
import pytest

from caffe.proto import caffe_pb2
from caffe.prototxt import read_text
from models import generate

CARDS = sorted(generate.ROOT.rglob("readme.md"))
STAGES = [
    path for path in CARDS if (path.parent / "solver.prototxt").is_file()
]  # the others are of a method or a backbone
DATASETS = {dataset.name: dataset for dataset in generate.DATASETS}


def name_of(path):
    return str(path.parent.relative_to(generate.ROOT))


def solver_of(folder):
    return read_text(folder / "solver.prototxt", caffe_pb2.SolverParameter())


def test_there_is_a_card_for_each_stage_method_and_backbone():
    solvers = {path.parent for path in generate.ROOT.glob("*/*/solver.prototxt")}
    ours = {path for path in solvers if path.parent.name in DATASETS}
    assert ours == {path.parent for path in STAGES}
    nested = {path.parents[1] for path in generate.ROOT.glob("*/*/*/solver.prototxt")}
    assert nested == {path.parent for path in CARDS} - ours


@pytest.mark.parametrize("path", STAGES, ids=name_of)
def test_lengths_rates_and_presets_are_those_of_the_files(path):
    text, solver = path.read_text(), solver_of(path.parent)
    assert f" = {solver.max_iter:,} iterations |" in text
    assert f"| rate | {solver.base_lr:.3g} |" in text
    for step in solver.stepvalue:
        assert f"after {step:,} iterations" in text
    images, batch = re.search(r"ceil\(([\d,]+) images / (\d+)\)", text).groups()
    epochs = re.search(r"\| (\d+) epochs x", text)[1]
    steps = -(-int(images.replace(",", "")) // int(batch))
    assert int(epochs) * steps == solver.max_iter
    presets = json.loads((path.parents[1] / "presets.json").read_text())[path.parent.name]
    sizes = [f"{row['batch_size']} x {row['iter_size']}" for row in presets.values()]
    assert f"| images a pass x passes | {' | '.join(sizes)} |" in text
    assert len(text.splitlines()) < 75


@pytest.mark.parametrize("path", sorted(set(CARDS) - set(STAGES)), ids=name_of)
def test_methods_and_backbones_have_a_row_for_each_stage(path):
    text = path.read_text()
    for solver in map(solver_of, (file.parent for file in path.parent.glob("*/solver.prototxt"))):
        stage = solver.net.split("/")[-2]
        row = next(line for line in text.splitlines() if line.startswith(f"| `{stage}` |"))
        assert f" = {solver.max_iter:,} iterations | {solver.base_lr:.3g}, " in row


@pytest.mark.parametrize("path", CARDS, ids=name_of)
def test_commands_and_links_exist(path):
    text = path.read_text()
    for program in set(re.findall(r"(?:tools|data)/\w+\.(?:py|sh)", text)):
        assert (generate.ROOT.parent / program).is_file(), program
    for link, anchor in re.findall(r"\]\(([^)#]+)#?([^)]*)\)", text):
        target = (path.parent / link).resolve()
        assert target.is_file()
        titles = re.findall(r"^## (.+)$", target.read_text(), re.MULTILINE)
        heads = {re.sub(r"[^\w -]", "", title).replace(" ", "-").lower() for title in titles}
        assert not anchor or anchor in heads


def test_the_demos_numbers_are_those_of_the_readme():
    readme = (generate.ROOT.parent / "README.md").read_text()
    for stage, number in cards.DEMO_MAP.items():
        assert number in readme
        assert f"mAP {number} %" in (generate.ROOT / "demo" / stage / "readme.md").read_text()


def test_the_demos_other_backbones_numbers_are_those_of_the_table():
    table = (generate.ROOT / "README.md").read_text()
    for backbone, (alone, distilled) in cards.DEMO_BACKBONES.items():
        assert f"| `{backbone}` | {alone} | {distilled} |" in table
        card = (generate.ROOT / "demo" / backbone / "readme.md").read_text()
        assert f"{alone} without distillation" in card
        assert distilled in card.replace("\n", " ")


def test_operations_of_coco_are_those_of_vgg16():
    # 15.35 billion weights are used at 224 x 224, 123.6 million in the three last layers
    param = read_text(generate.ROOT / "coco/student/train.prototxt", caffe_pb2.NetParameter())
    convolutions = 15_346_630_656
    connected = 512 * 7 * 7 * 4096 + 4096 * 4096 + 4096 * 80
    assert cost.of_image(param) == 3 * 2 * (convolutions + connected)


def test_a_frozen_layer_costs_a_third():
    param = read_text(generate.ROOT / "demo/student/train.prototxt", caffe_pb2.NetParameter())
    whole = cost.of_image(param)
    for layer in param.layer:
        for spec in layer.param:
            spec.lr_mult = 0
    assert cost.of_image(param) == whole / 3


def test_hours():
    machine = cost.Machine("slow", "fp32", 2e12, 0.25, "assumed")
    assert cost.hours(3600 * 0.5e12 * 7, machine) == 7


def test_durations():
    said = [cards.duration(hours) for hours in (0.008, 0.02, 0.99, 1, 99.96, 1234.4)]
    assert said == ["< 1 min", "1 min", "59 min", "1.0 h", "100.0 h", "1,234 h"]


@pytest.mark.parametrize(("preset", "said"), [
    ({"batch_size": 4, "iter_size": 2, "recompute": False, "bytes": 1}, "4 x 2"),
    ({"batch_size": 1, "iter_size": 8, "recompute": True, "bytes": 1}, "1 x 8, recomputed"),
    ({"bytes": 1}, "too small"),
])  # fmt: skip
def test_presets_in_words(preset, said):
    assert cards.parts(preset) == said
