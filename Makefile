# demo and test need nothing but Python >= 3.11 and make; a second call installs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
TORCH := $(shell grep '^torch==' constraints.txt)

# One thread per library call: the native engine starts its own threads, and BLAS would compete with them.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export MPLBACKEND ?= Agg

.PHONY: demo test check bench clean

# Threads that wait give their core away: on a machine shared with others, spinning ones take six times as long.
demo test: export OMP_WAIT_POLICY ?= passive

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) $(TORCH)
	$(PIP_INSTALL) --editable '.[dev,bench]'
	@touch $@

demo: $(STAMP)
	$(BIN)/python examples/double_well.py out/double_well.png
	$(BIN)/sdesim run wang2021truncated --out out/wang2021truncated.zarr --overwrite
	$(BIN)/python examples/digits_sgd_vs_sde.py out/digits_sgd_vs_sde.png
	@echo "figures: out/double_well.png out/wang2021truncated.png out/digits_sgd_vs_sde.png"

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) build dist out *.egg-info
