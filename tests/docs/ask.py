"""Have python_server.py run a program: `ask.py SOCKET PROGRAM WORDS...`; exits as it does."""

import json
import os
import socket
import sys

with socket.socket(socket.AF_UNIX) as connection:
    _, path, program, *words = sys.argv
    connection.connect(path)
    request = {"program": program, "words": words, "folder": os.getcwd()}
    content = json.dumps({**request, "environment": dict(os.environ)}).encode()
    socket.send_fds(connection, [content[:1]], [0, 1, 2])
    connection.sendall(content[1:])
    connection.shutdown(socket.SHUT_WR)
    code = connection.recv(16)
sys.exit(int(code) if code else 1)
