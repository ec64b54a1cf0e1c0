# make demo | make demo-full | make test | make test-gpu | make lint | make bench; each sets itself up in .venv.
# make docker-check proves the container images; docker/README.md.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
SEEDS ?= 1
METHODS ?=
GPU ?=
DRAW ?=
TRAIN ?=
HERE := $(dir $(lastword $(MAKEFILE_LIST)))
COMPUTE := $(if $(GPU),--gpu $(GPU))
DEMO := data/demo
PROPOSALS := --boxes 64 --method selective-search-fast
READY := $(VENV)/ready
START := $(shell date +%s)

.PHONY: setup demo demo-full test test-gpu test-second-device lint bench docs models proto docker-check clean

setup: $(READY)

$(READY): pyproject.toml requirements.txt CMakeLists.txt $(wildcard caffe/ops/csrc/*)
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --constraint requirements.txt torch
	$(PY) -m pip install --quiet --constraint requirements.txt --editable '.[test,lint]'
	touch $@

# The whole paper on a small data set, in the current folder. SEEDS="1 2 3" averages three runs,
# GPU=0 computes on that GPU; DRAW and TRAIN are options of make_demo.py and train.py, for less.
demo: $(READY)
	$(PY) $(HERE)data/make_demo.py $(DRAW)
	$(PY) $(HERE)data/prepare_coco.py --annotations $(DEMO)/annotations/instances_train.json \
	    --images $(DEMO)/images/train --out $(DEMO)/train
	$(PY) $(HERE)data/prepare_coco.py --annotations $(DEMO)/annotations/instances_test.json \
	    --images $(DEMO)/images/test --out $(DEMO)/test
	$(PY) $(HERE)data/make_proposals.py --set $(DEMO)/train $(PROPOSALS)
	$(PY) $(HERE)data/make_proposals.py --set $(DEMO)/test $(PROPOSALS)
	$(PY) tools/train.py pretrain --dataset demo $(COMPUTE) $(TRAIN)
	@for seed in $(SEEDS); do \
	    set -- --dataset demo --seed $$seed $(COMPUTE) $(TRAIN); \
	    tools/train_wsddn.sh "$$@" && \
	    $(PY) tools/train.py student "$$@" && \
	    tools/distill.sh stage1 stage2 "$$@" --cache || exit 1; \
	    for method in $(METHODS); do \
	        tools/distill.sh --method $$method stage1 stage2 "$$@" --cache || exit 1; \
	    done; \
	done
	$(PY) tools/test_cls.py --dataset demo $(COMPUTE)
	$(PY) tools/report.py --dataset demo
	@echo "make demo took $$(( ($$(date +%s) - $(START) + 30) / 60 )) minutes"

# The same with the baselines of the paper's tables, three seeds each.
demo-full: SEEDS = 1 2 3
demo-full: METHODS = hinton fitnets attention
demo-full: demo

test: $(READY)
	$(PY) -m pytest -n 2

# The same tests with nets on a GPU, and those that need one.
test-gpu: $(READY)
	$(PY) -m pytest -n 2 -p tests.gpu_mode

# The same tests with nets on a device that is not the host and is no GPU either; see the plugin.
test-second-device: $(READY)
	$(PY) -m pytest -n 2 -p tests.second_device

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(READY)
	$(PY) tools/bench.py

# Write the table of layer types again from what their tests compare.
docs: $(READY)
	$(PY) -m pytest -p tests.parity_table --parity-table docs/layers.md tests/layers tests/export

# Write models/ again from the program that defines them.
models: $(READY)
	$(PY) models/generate.py

# Write the message modules again. protoc 25 (grpcio-tools 1.62) makes modules that every protobuf
# from 4.25 on can load.
proto:
	$(PYTHON) -m venv $(VENV)-proto
	$(VENV)-proto/bin/pip install --quiet 'grpcio-tools==1.62.3' 'setuptools<80'
	$(VENV)-proto/bin/python -m grpc_tools.protoc -I caffe/proto --python_out=caffe/proto --pyi_out=caffe/proto \
	    caffe/proto/caffe.proto caffe/proto/weights.proto
	rm -r $(VENV)-proto

# Build and try both images without Docker, on a base made by debootstrap; as root.
docker-check:
	docker/check.sh

clean:
	rm -rf $(VENV) out $(DEMO) build
