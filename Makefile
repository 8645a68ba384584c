# One line per task; `make` prints them. All run in .venv, which `make install` makes.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# The benchmark's own environment: the lock and the tools that Trellis is compared with.
BENCH := .venv-bench
PEERS := benchmarks/peers
# What mypy checks; ruff checks every file.
TYPED := analysis search spaces trainables tools $(if $(wildcard benchmarks/*.py),benchmarks)
# Packages of another Python, as modules of clusters name them, would come before those of .venv.
unexport PYTHONPATH
export PIP_USER := 0
# Further arguments: make search ARGS="--trials 4", make test ARGS="-k lenet -x"
ARGS ?=
# Processes that run tests, each whole files; make test WORKERS=0 for one that --pdb can stop.
WORKERS ?= 2

.PHONY: help install search test slow lint bench peers format lock clean distclean remake

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv with the exact versions of requirements.lock (PYTHON=...: with which)

# Remade where .venv was moved or its Python is gone; in place where the lock has changed.
USABLE := $(shell PYTHON="$(PYTHON)" bash tools/install.sh --usable && echo yes)
$(STAMP): requirements.lock pyproject.toml $(if $(USABLE),,remake)
	@PYTHON="$(PYTHON)" bash tools/install.sh

search: $(STAMP) ## search lenet_beans on embedded data: the main job, in minutes
	$(RUN) -m search.run lenet_beans --preset quick --data embedded $(ARGS)

test: $(STAMP) ## run the tests, without the slow ones
	$(RUN) -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

slow: $(STAMP) ## run the tests marked slow
	$(RUN) -m pytest -m slow --timeout 1200 --numprocesses $(WORKERS) --dist loadfile $(ARGS)

lint: $(STAMP) ## check style, format and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy $(TYPED)

bench: $(BENCH)/.installed ## compare with other tools: ARGS="lenet_beans --quick --data-dir DIR" takes minutes
	$(BENCH)/bin/python -m benchmarks.peers $(ARGS)

peers: $(BENCH)/.installed ## test `make bench` beside the tools that it compares with
	$(BENCH)/bin/python -m pytest tests/benchmarks_tests --numprocesses $(WORKERS) --dist loadfile $(ARGS)

$(BENCH)/.installed: requirements.lock $(PEERS)/requirements.txt $(PEERS)/requirements-alone.txt
	"$$(PYTHON="$(PYTHON)" bash tools/find_python.sh)" -m venv --clear $(BENCH)
	$(BENCH)/bin/python -I -m pip --disable-pip-version-check install -r $(PEERS)/requirements.txt
	$(BENCH)/bin/python -I -m pip --disable-pip-version-check install --no-deps -r $(PEERS)/requirements-alone.txt
	touch $@

format: $(STAMP) ## format the code and mend what ruff can mend
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

lock: ## rewrite requirements.lock with the newest versions inside pyproject.toml's ranges
	@work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	"$$(PYTHON="$(PYTHON)" bash tools/find_python.sh)" -m venv "$$work/venv"; \
	"$$work/venv/bin/python" -I -m pip --disable-pip-version-check install --editable ".[dev]"; \
	"$$work/venv/bin/python" tools/lock.py > "$$work/lock"; \
	cp "$$work/lock" requirements.lock; \
	if git rev-parse --git-dir >/dev/null 2>&1; then git --no-pager diff --stat requirements.lock; fi

clean: ## remove caches and build outputs; .venv and results stay
	rm -rf build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . \( -path ./$(VENV) -o -path ./$(BENCH) \) -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## remove .venv and .venv-bench too
	rm -rf $(VENV) $(BENCH)
