"""Run Python programs in children of one process that has imported already what takes long.

    python python_server.py SOCKET ROOT

A program asks through the socket (see ask.py); it runs as if `python` had been called there, with
the packages of the folder ROOT in the place of installed ones.
"""

import importlib
import json
import os
import runpy
import signal
import socket
import sys


def receive(connection):
    """The request, a dict, with standard input, output and error put in their places."""
    head, handles, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    while part := connection.recv(1 << 20):
        head += part
    for place, handle in enumerate(handles):
        os.dup2(handle, place)
        os.close(handle)
    return json.loads(head)


def run_python(words):
    """What `python WORDS` does, for the ways in which the documents call it."""
    if words[0] == "-m":
        sys.argv = words[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] in ("-c", "-"):
        sys.argv = ["-c", *words[2:]]
        code = words[1] if words[0] == "-c" else sys.stdin.read()
        sys.path.insert(0, os.getcwd())
        exec(compile(code, "<stdin>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = words
        sys.path.insert(0, os.path.dirname(os.path.abspath(words[0])))
        runpy.run_path(words[0], run_name="__main__")


def run(request):
    """Run the request's program: "python", or the entry point "module:function" of a command."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if request["program"] == "python":
        run_python(request["words"])
        return
    module, _, function = request["program"].partition(":")
    sys.argv = [function, *request["words"]]
    sys.exit(getattr(importlib.import_module(module), function)())


def serve(path):
    """Answer until killed; returns only in a child, with its request."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
        while True:
            connection, _ = server.accept()
            if not os.fork():
                break
            connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request = receive(connection)
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    connection.close()
    return request


if __name__ == "__main__":
    _, path, root = sys.argv
    # An editable installation would find the checkout's packages before ROOT's.
    sys.meta_path[:] = [finder for finder in sys.meta_path if isinstance(finder, type)]
    sys.path[0] = root
    for name in ("caffe", "cv2", "torch._dynamo"):  # the last is what PyTorch's meta device imports
        importlib.import_module(name)
    run(serve(path))
