"""Every field of a net is read by the engine or stands in a table that says why it is not."""

import ast
from collections import defaultdict
from functools import cache, reduce
from pathlib import Path
from typing import NamedTuple

import pytest
from google.protobuf.descriptor import FieldDescriptor

import caffe
from caffe.fields import HARMLESS, REFUSED, check_fields
from caffe.proto import caffe_pb2

ENGINE = Path(caffe.__file__).parent
# They rewrite, write or picture nets; a field that only they name has no effect on a result.
NOT_COMPUTING = {"coord_map", "draw", "fields", "net_spec", "upgrade", "upgrade_v0"}
LAYER = caffe_pb2.LayerParameter.DESCRIPTOR


class Source(NamedTuple):
    """A module's attributes (but its own, self.x), quoted names and imports from the engine."""

    names: set[str]
    imports: set[str]


def _imported(node: ast.AST) -> set[str]:
    """Modules as paths from `caffe`: "loss", "data.image"; of `from caffe import x` also "x"."""
    if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] != "caffe":
        return set()
    module = (node.module or "").removeprefix("caffe").removeprefix(".")
    inner = {f"{module}.{alias.name}".removeprefix(".") for alias in node.names}
    return {module, *inner} - {""}


@cache
def sources() -> dict[str, Source]:
    """All modules of the engine that compute."""
    found = {}
    for path in ENGINE.rglob("*.py"):
        name = ".".join(path.relative_to(ENGINE).with_suffix("").parts)
        if name.startswith("proto") or name in NOT_COMPUTING:
            continue
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        read = [node for node in nodes if isinstance(node, ast.Attribute)]
        attributes = {node.attr for node in read if ast.unparse(node.value) != "self"}
        quoted = {
            n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)
        }
        found[name] = Source(attributes | quoted, set().union(*map(_imported, nodes)))
    return found


def names_behind(start: set[str]) -> set[str]:
    """The names in these modules and in all modules that they import."""
    seen: set[str] = set()
    waiting = set(start)
    while waiting:
        module = waiting.pop()
        seen.add(module)
        waiting |= sources()[module].imports & set(sources()) - seen
    return set().union(*(sources()[module].names for module in seen))


def message_fields() -> dict[str, tuple[set[str], set[str]]]:
    """For each message of a layer: its fields, and those of them that the engine reads.

    A `<x>_param` counts where a module names `<x>_param` or is imported by one that does; what
    several layers share (fillers, shapes, rules) counts anywhere.
    """
    holders = defaultdict(set)
    for field in LAYER.fields:
        if field.message_type and field.name.endswith("_param"):
            holders[field.message_type].add(field.name)
    found = {}
    for message, params in holders.items():
        naming = {module for module, source in sources().items() if source.names & params}
        fields = {field.name for field in message.fields}
        found[message.name] = fields, fields & names_behind(naming)
    everywhere = names_behind(set(sources()))
    for shared in ("LayerParameter", "FillerParameter", "BlobShape", "ParamSpec", "NetStateRule"):
        fields = {field.name for field in getattr(caffe_pb2, shared).DESCRIPTOR.fields}
        fields = {name for name in fields if not name.endswith("_param")}
        found[shared] = fields, fields & everywhere
    return found


@pytest.mark.parametrize("message", sorted(message_fields()))
def test_every_field_is_read_or_excused(message):
    fields, read = message_fields()[message]
    harmless = (
        fields if message in HARMLESS else {f for f in fields if f"{message}.{f}" in HARMLESS}
    )
    targets = [descriptor(entry.path) for entry in REFUSED]
    refused = {target.name for target in targets if target.containing_type.name == message}
    assert fields - read - harmless - refused == set(), f"{message}: read by none, in no table"
    assert read & harmless == set(), f"{message}: read by a layer, so no entry of HARMLESS"


def test_the_tables_name_fields_that_exist():
    for entry in HARMLESS:
        message, _, field = entry.partition(".")
        assert not field or field in getattr(caffe_pb2, message).DESCRIPTOR.fields_by_name, entry
    for refused in REFUSED:
        assert refused.layer_type in caffe.layer_type_list(), refused
        assert descriptor(refused.path), refused


def descriptor(path: str) -> FieldDescriptor:
    *blocks, name = path.split(".")
    message = reduce(lambda inner, block: inner.fields_by_name[block].message_type, blocks, LAYER)
    return message.fields_by_name[name]


def with_field(layer_type: str, path: str, default: bool) -> caffe_pb2.LayerParameter:
    """A layer "l" in which the field holds its default, said aloud, or another value."""
    layer = caffe_pb2.LayerParameter(name="l", type=layer_type)
    *blocks, name = path.split(".")
    message, field = reduce(getattr, blocks, layer), descriptor(path)
    setattr(message, name, field.default_value if default else field.default_value + 1)
    return layer


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.path)
def test_a_refused_field_names_layer_value_and_remedy(refused):
    layer_type = refused.layer_type
    check_fields(with_field(layer_type, refused.path, default=True))
    net = caffe_pb2.NetParameter(layer=[with_field(layer_type, refused.path, default=False)])
    with pytest.raises(caffe.CaffeError) as error:
        caffe.Net(net, caffe.TEST)
    assert str(error.value).startswith(f'layer "l" ({layer_type}): {refused.path}: ')
    assert str(error.value).endswith(refused.remedy)


def test_a_block_of_another_layer_type_is_passed_over():
    check_fields(with_field("ReLU", "roi_pooling_param.norm_type", default=False))
