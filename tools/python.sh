#!/usr/bin/env bash
# Print the Python that the tools run with: $PYTHON, else this checkout's .venv, else python3.
venv=$(dirname "$0")/../.venv/bin/python
if [[ -n ${PYTHON:-} ]]; then
  echo "$PYTHON"
elif [[ -x $venv ]]; then
  echo "$venv"
else
  command -v python3
fi
