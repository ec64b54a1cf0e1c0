#!/bin/sh
# Install Debian packages into the image being built: docker/packages.sh PACKAGE...
# A base that cannot carry the image ends the build here, with one line.
set -eu

fail() {
  echo "base image: $1; expected Ubuntu 24.04, Debian 12 or newer: they have apt-get and" \
    "Python 3.11 or newer among their packages" >&2
  exit 1
}

command -v apt-get >/dev/null || fail "it has no apt-get"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || fail "its apt-get cannot read the lists of packages"
apt-get install -qq --no-install-recommends python3 "$@" >/dev/null ||
  fail "its apt-get cannot install python3 $*"
rm -rf /var/lib/apt/lists/*
version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
  fail "its Python does not start"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "its Python is $version"
