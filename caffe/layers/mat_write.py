"""MatWrite: blobs into MATLAB files."""

import torch

from caffe.data import mat_file
from caffe.layer import Layer, Shape
from caffe.registry import register


@register("MatWrite")
class MatWrite(Layer):
    """Write the bottoms into files that MATLAB and MatRead read, in every `period`-th pass.

    bottoms: any number of blobs of the same N items. No tops.
    With a list `source` each item has a file of its own for each bottom i,
    `<prefix><name>_blob_<i>.mat` with the item's name from the list, one name per item, also in
    passes that write nothing. Without one the k-th pass writes each bottom whole into
    `<prefix>iter_<k>_blob_<i>.mat`. `strip`: characters to leave out at the end of each name.
    The variable is "data", W x H x C x N (see caffe/data/mat_file.py).
    Source: DeepLab's MatWriteLayer, which takes one name per pass, so that its lists fit N = 1.
    Raises CaffeError if the list has too few names.
    """

    bottoms = (1, None)
    tops = 0
    repeatable = False

    def setup(self, *shapes: Shape) -> None:
        self.param = self.layer_param.mat_write_param
        if self.param.period < 1:
            self.fail(f"expected a period of at least 1, got {self.param.period}")
        self.names = mat_file.Names(self.param)
        self.passes_done = self.items_done = 0

    def top_shapes(self, *shapes: Shape) -> list[Shape]:
        return []

    def forward(self, *bottoms: torch.Tensor) -> tuple[torch.Tensor, ...]:
        count = bottoms[0].shape[0] if self.names.source else 1
        if self.names.source and self.items_done + count > len(self.names):
            self.fail(
                f"{self.names.source}: expected {self.items_done + count} names or more for the "
                f"items so far, got {len(self.names)}"
            )
        if self.passes_done % self.param.period == 0:
            for i, bottom in enumerate(bottoms):
                self._write(i, bottom, count)
        self.passes_done += 1
        self.items_done += count
        return ()

    def _write(self, blob: int, bottom: torch.Tensor, count: int) -> None:
        array = bottom.detach().cpu().numpy()
        if self.names.source and len(array) != count:
            self.fail(f"expected {count} items in every bottom, got {len(array)} in number {blob}")
        for k in range(count):
            part = array[k : k + 1] if self.names.source else array
            mat_file.write(self.names.path(self.items_done + k, blob), part)
