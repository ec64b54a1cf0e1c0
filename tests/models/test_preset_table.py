"""Presets: whole batches in parts that fit, counted again in another way."""

import json

import preset_table
import pytest

import caffe
from caffe import footprint
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text
from models import generate
from python_layers.data_shapes import with_inputs

FILES = sorted(generate.ROOT.rglob("presets.json"))


def read(folder):
    kinds = {"train": caffe_pb2.NetParameter, "solver": caffe_pb2.SolverParameter}
    return [read_text(folder / f"{name}.prototxt", kind()) for name, kind in kinds.items()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_every_stage_has_its_batch_whatever_the_memory(path):
    table = json.loads(path.read_text())
    assert set(table) == {p.parent.name for p in path.parent.glob("*/solver.prototxt")}
    for stage, rows in table.items():
        net, solver = read(path.parent / stage)
        assert list(rows) == ["8", "16", "24", "80"]
        for memory, row in rows.items():
            batch = preset_table.batch_of(net) * solver.iter_size
            assert row["batch_size"] * row["iter_size"] == batch
            assert row["bytes"] <= 0.9 * int(memory) * 2**30 - 2**30


@pytest.mark.parametrize("stage", ["wsddn", "stage2"])
def test_bytes_are_those_of_the_whole_net_at_that_batch(stage):
    net, solver = read(generate.ROOT / "demo" / stage)
    built = preset_table.build(net)
    for batch, recompute in ((1, False), (3, False), (2, True)):
        whole = caffe.Net(with_inputs(net, batch), caffe.TRAIN)
        wanted = footprint.of_training(whole, solver, recompute=recompute).peak
        found = preset_table.needed(built, solver, batch, recompute)
        assert found == pytest.approx(wanted, rel=1e-4)


def test_the_largest_part_that_fits_and_recomputing_only_where_nothing_else_does():
    net, solver = read(generate.ROOT / "demo" / "wsddn")
    built = preset_table.build(net)
    several = caffe_pb2.SolverParameter()
    several.CopyFrom(solver)
    several.iter_size = 2
    six, three, two, one = (
        preset_table.needed(built, solver if n == 6 else several, n, False) for n in (6, 3, 2, 1)
    )
    again = preset_table.needed(built, several, 1, True)
    assert again < one < two < three < six

    def chosen(limit):
        return preset_table.choose(built, solver, 6, limit)

    sizes = {"batch_size": 6, "iter_size": 1, "recompute": False, "bytes": six}
    assert chosen(six) == sizes
    assert chosen(six - 1) == sizes | {"batch_size": 3, "iter_size": 2, "bytes": three}
    assert chosen(three - 1) == sizes | {"batch_size": 2, "iter_size": 3, "bytes": two}
    assert chosen(one)["batch_size"] == 1
    assert chosen(again)["recompute"]
    assert chosen(again - 1) == {"bytes": again}
    assert solver.iter_size == 1


def test_a_gpus_memory_is_not_all_for_the_net():
    assert preset_table.usable(8) == int(0.9 * 8 * 2**30) - 2**30
