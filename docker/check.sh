#!/usr/bin/env bash
# Build both images with buildah, which needs no daemon, on a base made by debootstrap, and try in
# them what docker/README.md promises; run the tests in the CPU image: make docker-check, as root.
#   SUITE=bookworm             debootstrap's suite
#   CUDA_HOME=/usr/local/cuda  toolkit for the GPU image, which is left out without one
#   TMPDIR=/var/tmp            where to work; everything there is removed in the end
# The builds get this machine's pip configuration and certificates.
set -euo pipefail
shopt -s inherit_errexit
root=$(cd "$(dirname "$0")/.." && pwd)
suite=${SUITE:-bookworm}
cuda=$(readlink -m "${CUDA_HOME:-/usr/local/cuda}")
few=(--iterations 2 --batch-size 4 --display 1)
smoke=(demo DRAW="--train 12 --test 6 --objects 16" TRAIN="${few[*]}")
volumes=()

step() { echo "docker-check: $*"; }

fail() {
  echo "docker-check: $*" >&2
  exit 1
}

# The last lines of what was run, without buildah's about their exit code.
last() { grep -vE '^(subprocess exited|Error: exit) ' "$work/log" | tail -"${1:-1}"; }

ours() { buildah --root "$work/store" --runroot "$work/run" --storage-driver vfs "$@"; }

check_host() {
  [[ $(id -u) -eq 0 ]] || fail "run it as root: debootstrap and buildah --isolation chroot need it"
  local program
  for program in buildah debootstrap; do
    command -v "$program" >/dev/null ||
      fail "no $program here: apt-get install buildah debootstrap"
  done
}

clean_up() {
  ours rm --all >/dev/null 2>&1 || true
  # What may still be mounted below stays untouched.
  rm -rf --one-file-system "$work"
}

# This machine's pip configuration as a file, and the local folders that it names as volumes.
read_pip_configuration() {
  local told word
  told=$(python3 -m pip config list 2>/dev/null |
    sed -nE "s/^[^.]+\.(cert|extra-index-url|find-links|index-url)='(.*)'$/\1 = \2/p" | sort -u)
  printf '[global]\n%s\n' "$told" >"$work/pip.conf"
  for word in $told; do
    case $word in # a local index keeps its files beside its pages
      file://*) word=$(dirname "${word#file://}") ;;
    esac
    [[ ! -d $word ]] || volumes+=(--volume "$word:$word:ro")
  done
}

make_base() {
  step "a base of $suite"
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$work/base" >"$work/log" 2>&1 ||
    fail "debootstrap $suite: $(last)"
  cp /etc/ssl/certs/ca-certificates.crt "$work/base/etc/ssl/certs/"
  local made
  made=$(ours from scratch)
  ours add --quiet "$made" "$work/base" / >/dev/null
  ours commit --quiet --rm "$made" base >/dev/null
  rm -rf --one-file-system "$work/base"
}

# build FILE OPTIONS...: the image of docker/FILE
build() {
  local file=$1
  shift
  ours build --isolation chroot --format docker --secret "id=pip.conf,src=$work/pip.conf" \
    "${volumes[@]}" --file "$root/docker/$file" "$@" "$root" >"$work/log" 2>&1
}

# refused WORDS FILE OPTIONS...: the build fails, and a line that it prints has the words
refused() {
  local words=$1
  shift
  ! build "$@" || fail "built, though expected to end with: $words"
  grep -qF -- "$words" "$work/log" || fail "ended with: $(last); expected: $words"
}

check_bad_bases() {
  step "bases that cannot carry an image"
  local made
  made=$(ours from base)
  ours run --isolation chroot "$made" -- rm /usr/bin/apt-get
  ours commit --quiet --rm "$made" without-apt >/dev/null
  refused "base image: it has no apt-get; expected Ubuntu" Dockerfile.cpu \
    --build-arg BASE_IMAGE=without-apt
  refused "BASE_IMAGE: it has no /usr/local/cuda/bin/nvcc; expected a -devel- image" Dockerfile \
    --build-arg BASE_IMAGE=base --build-arg RUNTIME_IMAGE=base
}

# use IMAGE: try that one from now on, with a folder of its user's at /data
use() {
  image=$1 data=$work/data-$1
  mkdir "$data"
  chown 1000:1000 "$data"
  container=$(ours from --volume "$data:/data" "$image")
  [[ $(ours inspect --format '{{.OCIv1.Config.User}}' "$container") == 1000:1000 ]] ||
    fail "$image: it runs as root"
  entrypoint=$(ours inspect --format '{{index .OCIv1.Config.Entrypoint 0}}' "$container")
}

# try COMMAND...: what docker run does with it
try() { ours run --isolation chroot "$container" -- "$entrypoint" "$@" >"$work/log" 2>&1; }

check_calls() {
  try sh -c 'which cc gcc g++ nvcc cmake; true' || fail "$image: $(last)"
  [[ ! -s $work/log ]] || fail "$image: a compiler is in it: $(last)"
  step "$image: short demo"
  try "${smoke[@]}" || fail "$image: demo: $(last 20)"
  grep -qF "S-Cls (w/)" "$work/log" || fail "$image: the demo prints no table"
  [[ -s $data/out/demo/report.html ]] || fail "$image: the demo leaves no report in /data/out"
  step "$image: the documented calls"
  try tools/distill.sh stage1 stage2 "${few[@]}" --cache || fail "$image: distill.sh: $(last)"
  [[ $(grep -c "complete (2 iterations)" "$work/log") -eq 2 ]] ||
    fail "$image: distill.sh does not go on from the demo: $(last)"
  try tools/distill.sh stage1 stage2 "${few[@]}" --runs out/again \
    --weights out/demo/pretrain/pretrain_iter_2.caffemodel \
    --teacher out/demo/seed1/wsddn/wsddn_iter_2.caffemodel || fail "$image: distill.sh: $(last)"
  try python tools/test_cls.py --dataset demo || fail "$image: test_cls.py: $(last)"
  try caffe device_query || fail "$image: device_query: $(last)"
}

# check_health CODE: the exit code of the image's own health check
check_health() {
  local words code=0
  words=$(ours inspect --format '{{range .Docker.Config.Healthcheck.Test}}{{.}} {{end}}' \
    "$container")
  # shellcheck disable=SC2086
  ours run --isolation chroot "$container" -- ${words#CMD } >"$work/log" 2>&1 || code=$?
  [[ $code -eq $1 ]] || fail "$image: ${words#CMD }: exit code $code, expected $1: $(last)"
}

check_unwritable_data() {
  step "$image: a folder that its user may not write"
  chown 0:0 "$data"
  rm -r "$data/out"
  ! try tools/distill.sh stage1 || fail "$image: distill.sh does not see that it cannot write"
  grep -qF "/data/out: user 1000:1000 cannot write there" "$work/log" || fail "$image: $(last)"
}

# They need what the image does not have: a compiler, and the packages to test with.
check_tests() {
  step "$image: the tests"
  local tester named
  tester=$(ours from "${volumes[@]}" --volume "$work/pip.conf:/etc/pip.conf:ro" "$image")
  inside() {
    ours run --isolation chroot --user root --workingdir /caffe "$tester" -- "$@"
  }
  named=$(inside python -c 'from importlib import metadata
for line in metadata.requires("mlic-kd-wsd"):
    name, _, when = line.partition(";")
    if when.strip() == "extra == \"test\"":
        print(name)')
  inside sh docker/packages.sh g++ >"$work/log" 2>&1 || fail "$image: $(last)"
  # shellcheck disable=SC2086
  inside pip install --quiet --constraint requirements.txt $named >"$work/log" 2>&1 ||
    fail "$image: $(last)"
  # A chroot has no address for the host's name, of which Gloo would warn.
  inside env GLOO_SOCKET_IFNAME=lo python -m pytest -n 2 || fail "$image: tests fail"
  ours rm "$tester" >/dev/null
}

check_cpu_image() {
  step "CPU image"
  build Dockerfile.cpu --build-arg BASE_IMAGE=base --tag cpu || fail "Dockerfile.cpu: $(last 5)"
  use cpu
  check_calls
  check_health 0
  check_unwritable_data
  check_tests
  ours rm "$container" >/dev/null
  ours rmi cpu >/dev/null
}

check_gpu_image() {
  if [[ ! -x $cuda/bin/nvcc ]]; then
    step "GPU image: left out, since there is no $cuda/bin/nvcc (CUDA_HOME)"
    return
  fi
  step "GPU image, compiled with $cuda"
  local made
  made=$(ours from base)
  ours copy --quiet "$made" "$cuda" /usr/local/cuda >/dev/null
  ours commit --quiet --rm "$made" toolkit >/dev/null
  build Dockerfile --build-arg BASE_IMAGE=toolkit --build-arg RUNTIME_IMAGE=base --tag gpu ||
    fail "Dockerfile: $(last 5)"
  use gpu
  try test -e /caffe/caffe/ops/libcaffe_ops_cuda.so || fail "$image: it has no kernels"
  check_calls
  check_health 1 # no GPU gets into a chroot
}

check_host
work=$(mktemp -d "${TMPDIR:-/var/tmp}/docker-check.XXXXXX")
trap clean_up EXIT
step "needs 8 GB in $work ($(df -h --output=avail "$work" | tail -1 | tr -d ' ') free)," \
  "a quarter of an hour on 2 idle cores, and packages from the registries of Debian and PyPI"
read_pip_configuration
make_base
check_bad_bases
check_cpu_image
check_gpu_image
step "passed"
