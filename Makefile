# Every command of this project; `make` lists them.
# They share one environment, .venv, made from the pinned lists in requirements/; nothing is installed twice.

PYTHON ?= python3
PORT ?= 8000
WORKERS ?= 2
ARGS ?=

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install demo base fake-aws test test-long check docs matrix bench bench-peers bench-graphs lock clean

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 21

install: .venv/dev.stamp  ## .venv with the package, the export extra and the development tools

demo: .venv/demo.stamp  ## train iris, save it, serve it on PORT (8000)
	@trap : INT; .venv/bin/onnxport demo --port $(PORT) --output build/demo/iris.onnx || test $$? -eq 130

base: .venv/dev.stamp  ## build/base-slim.tar, a small base for onnxport build --base, from Debian's packages
	@tools/system-packages mmdebstrap
	@.venv/bin/python tools/base.py

fake-aws: .venv/dev.stamp  ## an AWS on loopback to rehearse deployments on, at PORT (5566); Ctrl-C ends it
	@tools/system-packages docker-registry nginx mmdebstrap
	@trap : INT; .venv/bin/python tools/fake_aws.py --port $(if $(filter file,$(origin PORT)),5566,$(PORT)) $(ARGS)

test: .venv/dev.stamp  ## install what the tests need, then run them in WORKERS processes (ARGS goes to pytest)
	@tools/system-packages
	@.venv/bin/python -m pytest $(if $(findstring no:xdist,$(ARGS)),,-n $(WORKERS)) $(ARGS)

test-long: .venv/dev.stamp  ## the tests that are too long for every day
	@tools/system-packages
	@.venv/bin/python -m pytest -m long $(ARGS)

check: .venv/dev.stamp  ## the definition of clean: format, lint, types, tests
	@.venv/bin/ruff format --check
	@.venv/bin/ruff check
	@.venv/bin/mypy
	@$(MAKE) --no-print-directory test

docs: .venv/dev.stamp  ## write the generated reference pages, then test all pages
	@.venv/bin/python tools/reference.py
	@.venv/bin/python -m pytest -q tests/shape/test_docs.py tests/shape/test_readme.py

bench: .venv/dev.stamp  ## the server beside nginx, the tutorial's and others, in some minutes (ARGS: --quick, --help)
	@tools/system-packages nginx wrk
	@.venv/bin/python -m benchmarks.serving $(ARGS)

bench-peers: .venv/dev.stamp  ## the server beside mosec, Triton and others, installed into build/bench-peers (ARGS)
	@tools/system-packages nginx wrk
	@.venv/bin/python -m benchmarks.serving --peers $(ARGS)

bench-graphs: .venv/dev.stamp  ## our tree graphs beside skl2onnx's: size, speed, time of saving (ARGS: part of a name)
	@.venv/bin/python benchmarks/forest.py $(ARGS)

matrix: .venv/dev.stamp  ## write docs/reference/matrix.md anew, in some minutes (ARGS: kinds to try without writing)
	@.venv/bin/python tools/matrix.py $(ARGS)

lock: .venv/created  ## resolve requirements/*.txt anew (UPGRADE=--upgrade for the newest versions)
	@tools/lock $(UPGRADE)

clean:  ## remove what the targets above have made
	@rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/created:
	@tools/install venv $(PYTHON)

.venv/demo.stamp: requirements/demo.txt pyproject.toml .venv/created
	@tools/install demo

.venv/dev.stamp: requirements/dev.txt pyproject.toml .venv/created
	@tools/install dev
