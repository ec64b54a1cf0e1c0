#!/usr/bin/env bash
# Distil the teacher into the student: tools/distill.sh stage1 stage2 --dataset coco --gpu 0
# stage1 transfers features, stage2 predictions; either may be given alone.
# tools/distill.sh --method hinton|fitnets|attention|released stage1 stage2 ... trains another
# method's student; hinton and attention have no stage1.
# With --cache the teacher is asked once about every image (tools/cache_teacher.py) before.
# Options as in `python tools/train.py --help`; the same command resumes.
set -euo pipefail
tools=$(dirname "$0")
words=()
if [[ ${1:-} == --method && $# -gt 1 ]]; then
  words+=("$1" "$2")
  shift 2
fi
stages=0
while [[ ${1:-} == stage1 || ${1:-} == stage2 ]]; do
  words+=("$1")
  stages=1
  shift
done
if [[ $stages -eq 0 && ${1:-} != -h && ${1:-} != --help ]]; then
  echo "distill.sh: expected stage1, stage2 or both, got '${1:-nothing}'; see distill.sh --help" >&2
  exit 1
fi
python=$("$tools/python.sh")
for word in "$@"; do
  if [[ $word == --cache || $word == --cache=* ]]; then
    "$python" "$tools/cache_teacher.py" "${words[@]}" "$@"
    break
  fi
done
exec "$python" "$tools/train.py" "${words[@]}" "$@"
