#!/usr/bin/env bash
# Train the teacher T-WDet (WSDDN on VGG16): tools/train_wsddn.sh --dataset coco --gpu 0
# Options as in `python tools/train.py --help`; the same command resumes.
set -euo pipefail
tools=$(dirname "$0")
python=$("$tools/python.sh")
exec "$python" "$tools/train.py" wsddn "$@"
