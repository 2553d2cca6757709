# What a newcomer needs: git, make and Python 3.11 or newer. `make` alone tells what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
# Where `make demo` and `make run` keep their data; named by OSB_WORK if it should be elsewhere.
OSB_WORK ?= .work
export OSB_WORK
# A machine's own settings of the broker must not reach the tests.
unexport $(filter BROKER_%,$(.VARIABLES))

# python3.11 if there is one, else a python3 that is new enough.
BASE_PYTHON := $(shell for python in python3.11 python3; do \
	if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then command -v "$$python"; break; fi; done)

python := $(VENV)/bin/python
# The stamp's name holds the hash of what is locked: another lock means another environment.
locked := $(shell cat requirements/dev.txt pyproject.toml 2>/dev/null | cksum | tr ' ' '-')
stamp := $(VENV)/.locked-$(locked)

.PHONY: help
help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

.PHONY: venv
venv: $(stamp) ## the virtual environment, from the lock file

$(stamp):
	@if [ -z "$(BASE_PYTHON)" ]; then \
		echo "Python 3.11 or newer with venv is needed: neither python3.11 nor python3 on PATH is that." >&2; exit 1; fi
	@echo "Preparing $(VENV) with $(BASE_PYTHON) (about a minute)."
	@# An environment that another machine or another lock left behind is not repaired but replaced.
	@if ! $(python) -c '' 2>/dev/null; then rm -rf $(VENV); $(BASE_PYTHON) -m venv $(VENV); fi
	@rm -f $(VENV)/.locked-*
	@$(python) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(python) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: demo
demo: $(stamp) ## order, use and delete a PostgreSQL database; BREAK=<step> must fail
	@$(python) -m broker demo --work "$(OSB_WORK)" $(if $(BREAK),--break "$(BREAK)")

.PHONY: run
run: $(stamp) ## broker and simulated Azure on loopback, until Ctrl-C
	@$(python) -m broker run --work "$(OSB_WORK)"

.PHONY: test
test: $(stamp) ## all tests, on SQLite and PostgreSQL (TEST_POSTGRES_DSN names another server)
	@$(python) -m pytest -q -n 2 --dist worksteal $(TESTS)

.PHONY: test-kubernetes
test-kubernetes: $(stamp) ## the chart on a real API server (built with Go: 5 minutes, once)
	@$(python) -m tools.programs helm etcd kube-apiserver
	@$(python) -m pytest -q tests/kubernetes

.PHONY: tools
tools: $(stamp) ## programs that some tests need, as an ordinary user; TOOLS="a b" names some
	@$(python) -m tools.programs $(TOOLS)

.PHONY: lint
lint: $(stamp) ## ruff and mypy
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(python) -m mypy

.PHONY: bench
bench: $(stamp) ## how fast it is, as ratios to a bare server
	@$(python) -m bench $(BENCH)

# SEEDS=10, or SEED=4 (or 1,4) for some of them; INSTANCES, KILLS, PROCESSES and DURATION (seconds) are of each storm.
.PHONY: chaos
chaos: $(stamp) ## kill it in every way: storms with SEEDS=10, SEED=4, INSTANCES=100, KILLS=33, DURATION=360
	@$(python) -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) \
		$(if $(INSTANCES),--instances $(INSTANCES)) $(if $(KILLS),--kills $(KILLS)) \
		$(if $(PROCESSES),--processes $(PROCESSES)) $(if $(DURATION),--duration $(DURATION))
	@$(python) -m pytest -q --hypothesis-profile=long tests/operations/test_any_schedule.py

.PHONY: rolling
rolling: $(stamp) ## replace all processes by the next release, and by themselves, while requests flow (2 minutes)
	@$(python) -m tests.rolling $(ROLLING)

.PHONY: release
release: $(stamp) ## wheel, source, bill of materials, notes and checksums, into dist/
	@$(python) -m tools.release

.PHONY: image
image: $(stamp) ## carry the Dockerfile out without a container engine, and start what came of it (root; 2 minutes)
	@$(python) -m tools.programs debootstrap
	@$(python) -m tools.replay_image

pip_compile := --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	--strip-extras --allow-unsafe --no-header --no-annotate $(LOCK)

.PHONY: lock
lock: $(stamp) ## renew requirements/*.txt; LOCK=--upgrade takes newer releases
	@$(python) -m piptools compile $(pip_compile) -o requirements/runtime.txt --extra tracing pyproject.toml
	@$(python) -m piptools compile $(pip_compile) -o requirements/simulator.txt -c requirements/runtime.txt \
		--extra tracing --extra simulator pyproject.toml
	@$(python) -m piptools compile $(pip_compile) -o requirements/dev.txt -c requirements/simulator.txt \
		--extra tracing --extra simulator --extra dev pyproject.toml

.PHONY: clean
clean: ## remove the environment, the work folder and caches
	@rm -rf $(VENV) .work dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
