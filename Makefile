# make run | make test | make lint | make bench | make bench-peers | make bench-growth | make bench-guard | make agents |
# make faults | make docs | make lock: each sets up what it needs in .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test lint bench bench-peers bench-growth bench-guard agents faults format docs tokenizers lock clean
.DEFAULT_GOAL := run

run: $(VENV)/runtime tokenizers
	@$(BIN)/gateway init
	@GATEWAY_HINT=1 exec $(BIN)/gunicorn wsgi:app

test: $(VENV)/development tokenizers
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# make bench OPTIONS=--quick; OPTIONS=--help lists them, OPTIONS=--save writes docs/performance
bench: $(VENV)/bench tokenizers
	@$(BIN)/python -m bench $(OPTIONS)

# Other gateways to measure beside ours, each into a folder below BENCH_PEERS, ~/.cache/llm-gateway-bench by default
bench-peers: $(VENV)/runtime
	@$(BIN)/python -m bench.peers

# What a call costs as prompts, limits, keys, the ledger and workers grow
bench-growth: $(VENV)/bench $(VENV)/development tokenizers
	@$(BIN)/python -m bench.growth $(OPTIONS)

# Whether calls take more instructions than bench/guard.json says; OPTIONS=--save renews it. Needs valgrind.
bench-guard: $(VENV)/runtime tokenizers
	@$(BIN)/python -m bench.guard $(OPTIONS)

# Claude Code, Codex and opencode, from npm's registry into BENCH_AGENTS (~/.cache/llm-gateway-agents), through the gateway
# before fake vendors; OPTIONS=--cross has each answered by the other's vendor. Needs Node.js.
agents: $(VENV)/runtime tokenizers
	@$(BIN)/python -m bench.agents $(OPTIONS)

# The long forms of tests/faults, and deploys and clients of the service: an hour on two cores. They write
# docs/reliability.md, of which a run of one file (OPTIONS="-k machine") renews only its own lines. FAULTS_SEED=…
# repeats what an earlier run chose, FAULTS_DATABASE=postgresql has the ledger there.
faults: $(VENV)/development tokenizers
	FAULTS=long $(BIN)/python -m pytest -s tests/faults tests/service/test_reload.py tests/service/test_signals.py \
		tests/service/test_streams.py tests/api/test_failures.py tests/api/test_targets.py $(OPTIONS)

format: $(VENV)/development
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/runtime
	$(BIN)/gateway schema > docs/gateway.schema.json
	$(BIN)/gateway translation > docs/translation.md

tokenizers: $(VENV)/runtime
	@deploy/tokenizers $(BIN)/python || echo "No tokenizer files: tokens are estimated where a provider reports no usage." >&2

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: requirements.lock setup.cfg | $(VENV)/bin/python
	@echo "Installing the locked dependencies into $(VENV) …" >&2
	$(PIP) install --require-hashes --only-binary :all: --requirement requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/development: requirements-dev.lock $(VENV)/runtime
	$(PIP) install --require-hashes --only-binary :all: --requirement requirements-dev.lock
	@touch $@

$(VENV)/bench: requirements-bench.lock $(VENV)/runtime
	$(PIP) install --require-hashes --only-binary :all: --requirement requirements-bench.lock
	@touch $@

# The locks name versions and hashes, and no registry.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --exclude-newer "7 days" --custom-compile-command "make lock" --output-file requirements.lock setup.cfg deploy/build.in
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-strip-extras --exclude-newer "7 days" --custom-compile-command "make lock" --extra dev --constraint requirements.lock --output-file requirements-dev.lock setup.cfg deploy/build.in
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --exclude-newer "7 days" --custom-compile-command "make lock" --extra bench --constraint requirements.lock --output-file requirements-bench.lock setup.cfg deploy/build.in

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
