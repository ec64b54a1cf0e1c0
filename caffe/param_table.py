"""The parameters of a net: which of them are one and the same, and how fast each learns."""

from caffe.blob import Blob, ReshapedBlob
from caffe.layer import Layer
from caffe.proto import caffe_pb2

_MULTIPLIERS = ("lr_mult", "decay_mult")


class ParamTable:
    """Collects the blobs of a net's layers; blobs whose `param` has the same name become one.

    The first layer with a name owns the blob. A later one gives the same shape, or with
    `share_mode: PERMISSIVE` as many numbers in another shape. lr_mult and decay_mult may stand at
    any of them, but not differ. With `force` blobs of lr_mult 0 are differentiated, too.
    """

    def __init__(self, force: bool) -> None:
        self._force = force
        self._owners: dict[str, Blob] = {}
        self._specs: dict[int, caffe_pb2.ParamSpec] = {}  # by the id() of the owner
        self._blobs: list[Blob] = []

    def add(self, layer: Layer) -> None:
        """Take in a layer's blobs; those that others own are replaced in the layer's list.

        Fails in the layer's name if it gives more `param` than it has blobs, or one that disagrees
        with its owner.
        """
        specs = list(layer.layer_param.param)
        if len(specs) > len(layer.blobs):
            layer.fail(f"expected at most {len(layer.blobs)} param, got {len(specs)}")
        specs += [caffe_pb2.ParamSpec() for _ in layer.blobs[len(specs) :]]
        for i, (blob, spec) in enumerate(zip(list(layer.blobs), specs, strict=True)):
            owner = self._owners.setdefault(spec.name, blob) if spec.name else blob
            if owner is blob:
                self._blobs.append(blob)
                self._specs[id(blob)] = spec
            else:
                layer.blobs[i] = _shared(layer, owner, blob, spec)
                _merge(layer, self._specs[id(owner)], spec)
            if blob.learned:  # a layer's own statistics are not
                owner.learned = self._specs[id(owner)].lr_mult != 0 or self._force

    def learnable(self) -> list[tuple[Blob, caffe_pb2.ParamSpec]]:
        """Each blob once, with its lr_mult and decay_mult, in the net's order."""
        return [(blob, self._specs[id(blob)]) for blob in self._blobs]


def _shared(layer: Layer, owner: Blob, blob: Blob, spec: caffe_pb2.ParamSpec) -> Blob:
    if owner.shape == blob.shape:
        return owner
    permissive = spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
    if not permissive or owner.count != blob.count:
        remedy = "" if permissive else ", or share_mode: PERMISSIVE and as many numbers"
        layer.fail(
            f'param "{spec.name}" is shared: expected shape {owner.shape} of its owner{remedy}; '
            f"got {blob.shape}"
        )
    return ReshapedBlob(owner, blob.shape)


def _merge(layer: Layer, owner: caffe_pb2.ParamSpec, spec: caffe_pb2.ParamSpec) -> None:
    for field in _MULTIPLIERS:
        if not spec.HasField(field):
            continue
        value = getattr(spec, field)
        if owner.HasField(field) and getattr(owner, field) != value:
            layer.fail(
                f'param "{spec.name}" is shared: expected {field} {getattr(owner, field):g} of its '
                f"owner, got {value:g}"
            )
        setattr(owner, field, value)
