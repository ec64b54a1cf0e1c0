#!/bin/sh
# Lay out the running image: a user of its own, and /workspace, where commands start. There `data`
# is /data and `out` is /data/out, so that one mounted folder holds all that is read and written;
# /data is for any user, since `docker run --user` may name any.
set -eu
/opt/venv/bin/python -c 'import caffe.ops.native' || {
  echo "RUNTIME_IMAGE: $(python3 --version) there does not run what was installed on BASE_IMAGE;" \
    "expected images of one distribution" >&2
  exit 1
}
useradd --non-unique --uid 1000 --home-dir /tmp --no-create-home caffe
mkdir -p /workspace /data
chmod 1777 /data
ln -s /caffe/models /caffe/tools /data /workspace/
ln -s /data/out /workspace/out
rm /tmp/packages.sh
