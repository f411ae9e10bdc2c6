# The front door of the project. Every target makes, or reuses, .venv.
#
# PYTHON=...    interpreter that makes .venv (3.10, 3.11 or 3.12)
# TORCH=cuda    takes the CUDA build of torch instead of the CPU build
# JOBS=2        parallel simulator builds and tests

PYTHON ?= python3
TORCH ?= cpu
JOBS ?= 2
PY := .venv/bin/python
STAMP := $(shell cat pyproject.toml constraints/*.txt scripts/environment.py | cksum | cut -d' ' -f1)-$(TORCH)
DEMO := .venv/.stamp-demo-$(STAMP)
ALL := .venv/.stamp-all-$(STAMP)
PYTEST := $(PY) -m pytest -p no:cacheprovider -q

# One sentence where there is no Python at all; the rest is said by scripts/environment.py.
ENVIRONMENT := @command -v $(PYTHON) >/dev/null || { \
	echo "weft: missing $(PYTHON); run: apt-get install -y python3 python3-venv" >&2; exit 3; }; \
	$(PYTHON) scripts/environment.py

.DEFAULT_GOAL := help
.PHONY: help setup demo pynq test sim sim-full docs lint clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

$(DEMO):
	$(ENVIRONMENT) demo --torch $(TORCH)
	@rm -f .venv/.stamp-demo-* && touch $@

$(ALL):
	$(ENVIRONMENT) all --torch $(TORCH)
	@rm -f .venv/.stamp-* && touch $@ $(DEMO)

setup: $(ALL)  ## make .venv with everything

demo: $(DEMO)  ## a sentence through MiniLM: torch, emulator and the Verilated accelerator
	@.venv/bin/weft demo

pynq:  ## make build/pynq-venv: pynq 4.0 and 3.1, for boards and virtual boards
	@$(PYTHON) scripts/pynq_environment.py

# As many workers as cores: threads of torch inside them would only fight for these.
test sim sim-full: export OMP_NUM_THREADS := 1
# Text files are UTF-8 whatever the locale: Python warns where one is opened without saying so.
test sim sim-full: export PYTHONWARNDEFAULTENCODING := 1

test: $(ALL) pynq  ## fast tests, then the simulation regression (make sim)
	@$(PYTEST) -n $(JOBS) tests
	@$(MAKE) --no-print-directory sim

sim: $(ALL)  ## hardware verification on Verilator, with a table of testpoints
	@$(PYTEST) sim

sim-full: $(ALL) pynq  ## long random programs and large shapes, hostile files, other PATHs
	@$(PYTEST) --full sim
	@WEFT_HOSTILE_FILES=20000 $(PYTEST) -n $(JOBS) tests/sw/test_hostile_files.py
	@WEFT_HOSTILE_REQUESTS=20000 $(PYTEST) -k random_requests tests/board/test_virtual_board.py
	@$(PY) tests/support/paths.py hostile $(PYTEST) -n $(JOBS) tests
	@$(PY) tests/support/paths.py bare $(PYTEST) -n $(JOBS) tests

docs: $(ALL)  ## write the generated reference pages again
	@$(PY) -m weft_hw.docgen

lint: $(ALL)  ## style and types
	@$(PY) -m ruff check hw sw sim tests scripts examples conftest.py
	@$(PY) -m mypy

clean:  ## remove everything that was built, .venv too
	@rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find hw sw sim tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
