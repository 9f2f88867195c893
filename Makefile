# Everything a newcomer needs: `make demo` and `make test` set themselves up.
PYTHON ?= python3
VENV ?= .venv
# Marks of the tests to run; .ci/run passes wider ones.
MARKS ?= not slow and not shared and not browser and not peers and not gpu
# Test processes side by side; a file's tests stay together.
WORKERS ?= auto
# A CPU-only machine can take PyTorch's CPU builds: TORCH_INDEX=<address of PyTorch's CPU wheel index>.
TORCH_INDEX ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH_FLAGS := $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX),)

.PHONY: demo test slow check bench lint type setup clean

demo: setup
	$(BIN)/python -m audit.demo

test: setup
	$(BIN)/python -m pytest -m "$(MARKS)" -n $(WORKERS) --dist loadfile

slow: setup
	$(BIN)/python -m pytest -m "slow and not peers and not gpu" --durations=20

check: lint type test

bench: setup
	@for file in tests/benchmarks/[a-z]*.py; do echo "== $$file" >&2; $(BIN)/python $$file --json || exit 1; done

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: setup
	$(BIN)/mypy

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH_FLAGS) -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[models,dev]'
	@touch $(STAMP)

clean:
	rm -rf $(VENV) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
