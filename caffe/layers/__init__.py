"""One Caffe layer type per file; the file's name is the type in snake case.

Every module here is imported when the first net is built, and registers its layer by itself.

`caffe.layers` is also what pycaffe calls so: `L.Convolution(...)` writes nets, see net_spec.py.
"""

from typing import Any

from caffe import net_spec


def __getattr__(name: str) -> Any:
    return getattr(net_spec.layers, name)
