#!/usr/bin/env bash
# Print the Python that the tools run with: $PYTHON, else this checkout's .venv, else a python3 that
# has Caffe and OpenCV.
venv=$(dirname "$0")/../.venv/bin/python
# Without the first folder of the path, the current one, which has caffe/ in a fresh checkout, too.
complete='import sys; sys.path.pop(0); from importlib.util import find_spec
sys.exit(not (find_spec("caffe") and find_spec("cv2")))'
if [[ -n ${PYTHON:-} ]]; then
  echo "$PYTHON"
elif [[ -x $venv ]]; then
  echo "$venv"
elif python3 -c "$complete" 2> /dev/null; then
  command -v python3
else
  echo "expected a python3 with Caffe and OpenCV, got none; run make setup, or activate the" \
    "environment that has them" >&2
  exit 1
fi
