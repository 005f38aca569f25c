# Every target makes .venv itself when it needs to. `make demo` and `make test` are
# all that a fresh machine needs.

PYTHON ?= python3
RUN := .venv/bin/python

LOCK := docs/operate/requirements.lock
UNHURRIED := --override-ini faulthandler_timeout=2400

.PHONY: demo serve check audit test test-slow test-paced test-others bench bench-models \
	bench-faults bench-cluster lock sbom docs clean

demo: .venv/core  ## play a recorded conversation live; ARGS=--keep leaves the page open
	$(RUN) -m clients.demo $(ARGS)

serve: .venv/core  ## serve on ws://127.0.0.1:8765/v1/stream
	$(RUN) -m stream_erc serve

check: .venv/dev audit  ## style, types, layers, known vulnerabilities
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	$(RUN) -m pytest -q tests/test_layers.py

audit: .venv/dev  ## known vulnerabilities of what is served; says so where nobody answers
	$(RUN) .ci/audit.py $(LOCK)

test: .venv/dev  ## everything that runs in minutes, in two processes
	$(RUN) -m pytest -q -n 2 --dist loadfile

# What runs at the pace of life mostly waits, so the others run beside it.
test-slow: .venv/dev  ## the rest, in at most 40 minutes
	$(MAKE) --jobs 2 --keep-going test-paced test-others

test-paced: .venv/dev
	$(RUN) -m pytest -q -m slow $(UNHURRIED) tests/test_half_hour.py

test-others: .venv/dev
	$(RUN) -m pytest -q -m slow -n 2 --dist loadfile $(UNHURRIED) --ignore tests/test_half_hour.py

bench: .venv/dev  ## latency, load and peers in ten minutes; the first time installs the peers
	$(RUN) -m benchmarks.latency
	$(RUN) -m benchmarks.load --first 8 --seconds 30
	$(RUN) -m benchmarks.peers

bench-models: .venv/dev  ## how right it is, and what the networks cost
	$(RUN) -m benchmarks.accuracy
	$(RUN) -m benchmarks.streaming_cost
	$(RUN) -m benchmarks.endpointing
	$(RUN) -m benchmarks.costs
	$(RUN) -m benchmarks.networks
	$(RUN) -m benchmarks.speakers

bench-faults: .venv/dev  ## what faults cost: finals lost or doubled, others late; ten minutes
	$(RUN) -m benchmarks.faults

bench-cluster: .venv/dev  ## what Ray costs, and a killed replica; the first time installs Ray
	$(RUN) -m benchmarks.cluster

lock: .venv/dev  ## pin what is served, with hashes; ARGS=--upgrade takes newer versions
	.venv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --custom-compile-command 'make lock' \
		--quiet --output-file $(LOCK) $(ARGS)

sbom: .venv/dev  ## what is served, with its licences: build/sbom.json, CycloneDX
	$(PYTHON) -m venv --clear build/served
	build/served/bin/python -m pip install --quiet --require-hashes -r $(LOCK)
	build/served/bin/python -m pip install --quiet --no-deps .
	.venv/bin/cyclonedx-py environment build/served/bin/python \
		--pyproject pyproject.toml --output-reproducible --output-file build/sbom.json

docs: .venv/docs  ## the site, to be read from a folder: build/site/index.html
	$(RUN) docs/site/setting_tables.py
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet

clean:
	rm -rf .venv

.venv/core: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/dev: .venv/core
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev,supply,train,label,plot]'
	touch $@

.venv/docs: .venv/core
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@
