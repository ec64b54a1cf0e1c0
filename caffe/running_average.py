"""Running averages: blobs that a layer updates by itself."""

from caffe.layer import Layer


def keep_from_solver(layer: Layer, first: int) -> None:
    """Let no gradient reach the layer's blobs from `first` on, and no solver update them."""
    specs = layer.layer_param.param
    while len(specs) < len(layer.blobs):
        specs.add()
    for blob, spec in zip(layer.blobs[first:], specs[first:], strict=True):
        blob.learned = False
        spec.lr_mult = spec.decay_mult = 0
