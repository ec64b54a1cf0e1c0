"""Blobs as MATLAB files."""

import io
import os

import numpy as np
import scipy.io

from caffe.data import image_list
from caffe.errors import CaffeError
from caffe.files import write_atomic
from caffe.proto import caffe_pb2

VARIABLE = "data"
_AXES = 4


def write(path: str | os.PathLike, blob: np.ndarray) -> None:
    """A blob (N, C, H, W), or with fewer axes, as the variable "data" of a MATLAB 5 file.

    MATLAB sees single precision of W x H x C x N: permute(data, [2 1 3 4]) is an image again.
    Raises CaffeError naming the path if it cannot be written or the blob has more axes.
    """
    if blob.ndim > _AXES:
        raise CaffeError(f"{path}: expected a blob of at most {_AXES} axes, got {blob.shape}")
    full = blob.reshape(blob.shape + (1,) * (_AXES - blob.ndim))
    content = io.BytesIO()
    scipy.io.savemat(content, {VARIABLE: full.transpose(3, 2, 1, 0).astype(np.float32)})
    write_atomic(path, content.getvalue())


def read(path: str | os.PathLike) -> np.ndarray:
    """The variable "data" of a MATLAB file, W x H x C x N for MATLAB, as float32 (N, C, H, W).

    Raises CaffeError naming the path if it is missing, no MATLAB file before version 7.3 or has no
    such variable of numbers.
    """
    try:
        with open(path, "rb") as file:
            found = scipy.io.loadmat(file, variable_names=[VARIABLE])
    except OSError as error:
        raise CaffeError(f"{path}: cannot read: {error.strerror or error}") from None
    except NotImplementedError:
        raise CaffeError(
            f"{path}: expected a MATLAB file up to version 7: save it with -v7"
        ) from None
    except Exception as error:  # the library parses without checks, so anything may come
        raise CaffeError(f"{path}: no MATLAB file, or a damaged one: {error}") from None
    array = found.get(VARIABLE)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise CaffeError(f'{path}: expected a variable "{VARIABLE}" of real numbers')
    if array.ndim > _AXES:
        raise CaffeError(f"{path}: expected W x H x C x N, got {array.shape}")
    full = array.reshape(array.shape + (1,) * (_AXES - array.ndim))
    return np.ascontiguousarray(full.transpose(3, 2, 1, 0), np.float32)


class Names:
    """What the files of MatRead and MatWrite are called: `<prefix><name>_blob_<i>.mat`.

    name: number k of the first columns of the list `source`, without its last `strip` characters;
    without a list "iter_<k>". Raises CaffeError naming the line if nothing of a name would be left.
    """

    def __init__(self, param: caffe_pb2.MatReadParameter | caffe_pb2.MatWriteParameter) -> None:
        self._prefix, self.source = param.prefix, param.source
        self._names: list[str] = []
        for place, line in image_list.Lines(param.source) if param.source else ():
            name = line.split()[0]
            if not 0 <= param.strip < len(name):
                raise CaffeError(
                    f"{place}: expected strip to be 0 to {len(name) - 1}, as something of "
                    f'"{name}" must be left, got {param.strip}'
                )
            self._names.append(name[: len(name) - param.strip])

    def __len__(self) -> int:
        return len(self._names)

    def path(self, number: int, blob: int) -> str:
        """The file of the list's name `number` for the layer's blob number `blob`."""
        name = self._names[number] if self.source else f"iter_{number}"
        return f"{self._prefix}{name}_blob_{blob}.mat"
