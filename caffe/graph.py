"""Net text to net text: what Caffe does to a NetParameter before any layer exists.

Everything here maps protobuf messages to protobuf messages; nothing computes.
"""

from caffe.errors import CaffeError
from caffe.fields import check_fields
from caffe.proto import caffe_pb2
from caffe.upgrade import upgrade_net


def _meets(state: caffe_pb2.NetState, rule: caffe_pb2.NetStateRule) -> bool:
    if rule.HasField("phase") and rule.phase != state.phase:
        return False
    if rule.HasField("min_level") and state.level < rule.min_level:
        return False
    if rule.HasField("max_level") and state.level > rule.max_level:
        return False
    stages = set(state.stage)
    return stages.issuperset(rule.stage) and stages.isdisjoint(rule.not_stage)


def _included(layer: caffe_pb2.LayerParameter, state: caffe_pb2.NetState) -> bool:
    if layer.include and layer.exclude:
        raise CaffeError(f'layer "{layer.name}": give include rules or exclude rules, not both')
    if layer.include:
        return any(_meets(state, rule) for rule in layer.include)
    return not any(_meets(state, rule) for rule in layer.exclude)


def filter_net(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """The layers whose include/exclude rules fit `net.state` (phase, level, stages)."""
    kept = [layer for layer in net.layer if _included(layer, net.state)]
    out = caffe_pb2.NetParameter()
    out.CopyFrom(net)
    out.ClearField("layer")
    out.layer.extend(kept)
    return out


def _uses(net: caffe_pb2.NetParameter) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Who reads each (layer, top): a list of (layer, bottom), in net order."""
    made: dict[str, tuple[int, int]] = {}
    uses: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i, layer in enumerate(net.layer):
        for j, name in enumerate(layer.bottom):
            if name not in made:
                raise CaffeError(
                    f'layer "{layer.name}" ({layer.type}): bottom "{name}" is made by no layer '
                    f"before it; blobs so far: {', '.join(made) or 'none'}"
                )
            uses[made[name]].append((i, j))
        for j, name in enumerate(layer.top):
            if name in made and name not in layer.bottom:
                maker = net.layer[made[name][0]].name
                raise CaffeError(
                    f'layer "{layer.name}" ({layer.type}): top "{name}" is already the top of '
                    f'layer "{maker}"; only a layer with that blob as bottom may write it in place'
                )
            made[name] = (i, j)
            uses[i, j] = []
    return uses


def _split_layer(maker: caffe_pb2.LayerParameter, top: int, count: int) -> caffe_pb2.LayerParameter:
    blob = maker.top[top]
    stem = f"{blob}_{maker.name}_{top}_split"
    names = [f"{stem}_{k}" for k in range(count)]
    return caffe_pb2.LayerParameter(name=stem, type="Split", bottom=[blob], top=names)


def insert_splits(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """Put a Split layer behind each top that several layers read, named as Caffe names it.

    A top with a loss weight that is also read gets one more copy, which carries the weight.
    Raises CaffeError for a bottom that no layer makes or a top that two layers make.
    """
    uses = _uses(net)
    out = caffe_pb2.NetParameter()
    out.CopyFrom(net)
    out.ClearField("layer")
    renamed: dict[tuple[int, int], str] = {}
    for i, layer in enumerate(net.layer):
        copy = out.layer.add()
        copy.CopyFrom(layer)
        for j in range(len(layer.bottom)):
            copy.bottom[j] = renamed.get((i, j), layer.bottom[j])
        for j in range(len(layer.top)):
            readers = uses[i, j]
            weight = layer.loss_weight[j] if j < len(layer.loss_weight) else 0
            if len(readers) + bool(weight and readers) < 2:
                continue
            split = _split_layer(copy, j, len(readers) + bool(weight))
            if weight:
                copy.loss_weight[j] = 0
                split.loss_weight.extend([weight] + [0] * len(readers))
            out.layer.add().CopyFrom(split)
            renamed.update(zip(readers, split.top[bool(weight) :], strict=True))
    return out


def prepare(net: caffe_pb2.NetParameter, phase: caffe_pb2.Phase) -> caffe_pb2.NetParameter:
    """The layers to build for `phase`, in order: upgraded, filtered, checked, with Splits."""
    out = caffe_pb2.NetParameter()
    out.CopyFrom(net)
    out.state.phase = phase
    upgrade_net(out, f'net "{net.name}"')
    out = filter_net(out)
    for layer in out.layer:
        check_fields(layer)
    return insert_splits(out)
