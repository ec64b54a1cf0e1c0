"""Run a net in the pycaffe that this Python finds, and write down all its numbers.

    python record_caffe.py types FOLDER             what this pycaffe is and has: FOLDER/types.json
    python record_caffe.py net FOLDER JOB.json      what a net computes: FOLDER/index.json, *.npy

tools/compare_caffe.py starts it in the Python of an original Caffe, where it needs pycaffe and
numpy alone and stays within what Python 2.7 understands; it calls `record` for its own side.

A job: "net", a prototxt; "phase", "TRAIN" or "TEST"; "weights", a file or null; "start", a folder
that this program filled, whose parameters to take, or null; "inputs" and "diffs", {blob: .npy},
what inputs hold and what the gradients of outputs are; "tops", {layer: its tops}; "follow", a
folder, see follow(), or null; "solver", a prototxt or null, and "steps"; "gpu", a device or null.
index.json: [kind, name, file] of each array. Kinds: "weights read", [layer, i] of a parameter that
the weights file has; "weights start"; "data" and "gradient" of a blob; "top", [layer, top] as the
layer left it; "weight gradient"; and "weights after" the steps.
"""

from __future__ import print_function

import json
import os
import platform
import sys

import numpy as np

PYCAFFE = ("Layer", "Net", "TEST", "get_solver", "layer_type_list", "set_mode_cpu")


class Records(object):
    """The arrays of a folder: an .npy file each, and index.json, which says what they are."""

    def __init__(self, folder):
        self.folder, self.index = folder, []

    def add(self, kind, name, array):
        file_name = "%d.npy" % len(self.index)
        np.save(os.path.join(self.folder, file_name), array)
        self.index.append([kind, name, file_name])

    def add_parameters(self, kind, parameters):
        for layer, i, blob in parameters:
            self.add(kind, [layer, i], blob.diff if kind == "weight gradient" else blob.data)

    def close(self):
        write_json(os.path.join(self.folder, "index.json"), self.index)


def write_json(path, content):
    with open(path, "w") as file:
        json.dump(content, file)


def tell(what):
    """The last of these lines shows where a Caffe hung or broke off."""
    print("record_caffe: " + what, file=sys.stderr)
    sys.stderr.flush()


def load(path):
    return np.load(str(path), allow_pickle=False)


def parameters_of(net):
    """[(layer, i, blob)] of all parameters."""
    return [(layer, i, blob) for layer in net.params for i, blob in enumerate(net.params[layer])]


def read_weights(net, path):
    """Load the file; the parameters that it has. The others keep their numbers."""
    parameters = parameters_of(net)
    before = [np.array(blob.data) for _, _, blob in parameters]
    for _, _, blob in parameters:
        blob.data[...] = np.nan
    net.copy_from(str(path))
    found = []
    for (layer, i, blob), old in zip(parameters, before):
        if blob.data.size and np.isnan(blob.data).all():
            blob.data[...] = old
        else:
            found.append((layer, i, blob))
    return found


def recorded(folder, wanted):
    """{(layer, i or top): file} of a kind."""
    with open(os.path.join(folder, "index.json")) as file:
        index = json.load(file)
    return dict(
        (tuple(name), os.path.join(folder, file_name))
        for kind, name, file_name in index
        if kind == wanted
    )


def overwrite(blob, path):
    """Give the blob the recorded numbers, if they are as many as it has."""
    array = load(path)
    if array.size == blob.data.size:
        blob.data[...] = array.reshape(blob.data.shape)


def take_start(net, folder):
    """Set the parameters to those that were recorded as the start."""
    files = recorded(folder, "weights start")
    for layer, i, blob in parameters_of(net):
        if (layer, i) in files:
            overwrite(blob, files[layer, i])


def fill(net, inputs):
    for name in inputs:
        net.blobs[str(name)].data[...] = load(inputs[name])


def follow(net, job, records):
    """A forward pass for the gradients, in which each layer starts from the recorded tops.

    Else a ReLU's input that is 1e-8 in one engine and -1e-8 in the other, or two all but equal
    numbers under a max pooling, would send a gradient elsewhere though no layer is wrong.
    """
    files = recorded(job["follow"], "top") if job["follow"] else {}
    for i, layer in enumerate(net._layer_names):
        net._forward(i, i)
        for top in job["tops"].get(layer, ()):
            blob = net.blobs[str(top)]
            if (layer, top) in files:
                overwrite(blob, files[layer, top])
            elif not job["follow"]:
                records.add("top", [layer, top], blob.data)


def record_passes(net, job, records, say):
    """Forward and backward: every blob and every gradient."""
    say("forward")
    net.forward()
    for name in net.blobs:
        records.add("data", name, net.blobs[name].data)
    say("forward, layer by layer")
    follow(net, job, records)
    for _, _, blob in parameters_of(net):
        blob.diff[...] = 0
    for name in job["diffs"]:
        diff = load(job["diffs"][name])
        if diff.shape == net.blobs[str(name)].diff.shape:  # a Python layer's top may have grown
            net.blobs[str(name)].diff[...] = diff
    say("backward")
    net.backward()
    for name in net.blobs:
        records.add("gradient", name, net.blobs[name].diff)
    records.add_parameters("weight gradient", parameters_of(net))


def record_steps(caffe, job, records, say):
    """The weights after the solver's steps from the start weights on the same inputs."""
    say("building the solver")
    solver = caffe.get_solver(str(job["solver"]))
    take_start(solver.net, records.folder)
    fill(solver.net, job["inputs"])
    say("%d solver steps" % job["steps"])
    solver.step(job["steps"])
    records.add_parameters("weights after", parameters_of(solver.net))


def record(job, folder, say=lambda what: None):
    """Do the job; leaves index.json and its arrays in the folder. `say` hears what comes next."""
    import caffe
    from caffe.proto import caffe_pb2

    if job["gpu"] is None:
        caffe.set_mode_cpu()
    else:
        caffe.set_device(job["gpu"])
        caffe.set_mode_gpu()
    records = Records(folder)
    say("building the net")
    net = caffe.Net(str(job["net"]), caffe_pb2.Phase.Value(job["phase"]))
    if job["weights"]:
        say("reading the weights")
        records.add_parameters("weights read", read_weights(net, job["weights"]))
    if job["start"]:
        take_start(net, job["start"])
    records.add_parameters("weights start", parameters_of(net))
    fill(net, job["inputs"])
    record_passes(net, job, records, say)
    records.close()
    if job["solver"]:
        record_steps(caffe, job, records, say)
        records.close()
    say("done")


def describe():
    """What this pycaffe is: where, in which Python, its layer types, its messages' fields."""
    import caffe

    missing = [name for name in PYCAFFE if not hasattr(caffe, name)]
    if missing:
        where = getattr(caffe, "__file__", None) or " ".join(getattr(caffe, "__path__", []))
        raise ImportError("the module caffe at %s is no pycaffe: it has no %s"
                          % (where, ", ".join(missing)))  # fmt: skip
    from caffe.proto import caffe_pb2

    messages = caffe_pb2.DESCRIPTOR.message_types_by_name
    return {
        "file": caffe.__file__,
        "python": platform.python_version(),
        "types": sorted(caffe.layer_type_list()),
        "messages": dict((name, [f.name for f in messages[name].fields]) for name in messages),
    }


def main(words):
    if len(words) < 2:
        print(__doc__)
        return
    what, folder = words[:2]
    if what == "net":
        with open(words[2]) as file:
            record(json.load(file), folder, tell)
        return
    try:
        found = describe()
    except ImportError as error:
        found = {"error": str(error)}
    write_json(os.path.join(folder, "types.json"), found)


if __name__ == "__main__":
    main(sys.argv[1:])
