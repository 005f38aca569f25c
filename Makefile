# Every target makes .venv itself when it needs to. `make demo` and `make test` are
# all that a fresh machine needs.

PYTHON ?= python3
RUN := .venv/bin/python

.PHONY: demo serve check test test-slow bench clean

demo: .venv/core  ## play a recorded conversation live; ARGS=--keep leaves the page open
	$(RUN) -m clients.demo $(ARGS)

serve: .venv/core  ## serve on ws://127.0.0.1:8765/v1/stream
	$(RUN) -m stream_erc serve

check: .venv/dev  ## style, types, layers
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	$(RUN) -m pytest -q tests/test_layers.py

test: .venv/dev  ## everything that runs in minutes
	$(RUN) -m pytest -q

test-slow: .venv/dev  ## the rest
	$(RUN) -m pytest -q -m slow

bench: .venv/dev  ## latency, accuracy and cost, on the clips of tests/audio
	$(RUN) -m benchmarks.latency --sessions 1
	$(RUN) -m benchmarks.latency --sessions 4
	$(RUN) -m benchmarks.accuracy
	$(RUN) -m benchmarks.networks

clean:
	rm -rf .venv

.venv/core: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/dev: .venv/core
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev,train,label,plot]'
	touch $@
