"""What scripts see in `net.layers`: pycaffe's Layer around a layer of the engine."""

from collections.abc import Sequence

from caffe.blob import Blob
from caffe.layer import Layer
from caffe.python_layer import BlobVec, PythonLayer


class LayerView(PythonLayer):
    """One layer of a net as pycaffe shows it: type, name, phase, blobs, `setup` and `reshape`.

    A layer of `type: "Python"` is shown as the user's own object instead (see `view`).
    """

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self.type, self.name, self.phase = layer.type, layer.name, layer.phase
        self.param_str = ""

    @property
    def blobs(self) -> BlobVec:  # type: ignore[override]
        return BlobVec(self._layer.blobs)

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Create the parameters for these bottoms; a layer that has its parameters keeps them."""
        if not self._layer.blobs:
            shapes = [blob.shape for blob in bottom]
            with self._layer.naming(shapes):
                self._layer.setup(*shapes)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Give the tops the shapes that follow from the bottoms'."""
        shapes = [blob.shape for blob in bottom]
        with self._layer.naming(shapes):
            for blob, shape in zip(top, self._layer.top_shapes(*shapes), strict=True):
                blob.reshape(*shape)


def view(layer: Layer) -> PythonLayer:
    """The user's object of a Python layer; a LayerView of any other."""
    user = getattr(layer, "user", None)
    return user if isinstance(user, PythonLayer) else LayerView(layer)
