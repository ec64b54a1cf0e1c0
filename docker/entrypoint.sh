#!/bin/sh
# What the image runs: entrypoint.sh [demo [NAME=VALUE...] | COMMAND...]; nothing is the demo.
# tools/... and data/*.py are the image's own programs, whatever is mounted at /data.
set -eu
project=$(dirname "$(dirname "$(readlink -f "$0")")")

say() { echo "container: $*" >&2; }

fail() {
  say "$*"
  exit 1
}

check_data() {
  data=$(readlink -m data)
  mountpoint -q "$data" ||
    say "nothing is mounted at $data: results vanish with the container; add -v \$PWD/data:/data"
  mkdir -p "$(readlink -m out)" 2>/dev/null && [ -w out/ ] || fail \
    "$(readlink -m out): user $(id -u):$(id -g) cannot write there; give that user the mounted" \
    "folder, or add --user \$(id -u):\$(id -g)"
}

# $gpu is 0 where the GPU image has a GPU, empty elsewhere; $asked, whether the command names one.
check_gpu() {
  gpu=
  asked=$(printf '%s\n' "$@" | grep -Ec '^(--gpu(=.*)?|GPU=.+)$' || true)
  [ -n "${NVIDIA_VISIBLE_DEVICES:-}" ] || return 0
  if caffe device_query --gpu 0 >/dev/null 2>&1; then
    gpu=0
  elif [ "$asked" -gt 0 ]; then
    fail "no GPU is visible; add --gpus all to docker run"
  else
    say "no GPU is visible, so the CPU computes; add --gpus all to docker run"
  fi
}

[ $# -gt 0 ] || set -- demo
ours=
[ "$1" != demo ] || ours=1
for word; do
  shift
  case $word in
    tools/* | data/*.py)
      ours=1
      [ ! -f "$project/$word" ] || word=$project/$word
      ;;
  esac
  set -- "$@" "$word"
done
if [ -n "$ours" ]; then
  check_data
  check_gpu "$@"
fi
case $1 in
  demo)
    shift
    set -- make --no-print-directory -f "$project/Makefile" demo PY=python READY= GPU="$gpu" "$@"
    ;;
  "$project"/tools/*.sh) [ -z "$gpu" ] || [ "$asked" -gt 0 ] || set -- "$@" --gpu "$gpu" ;;
esac
exec "$@"
