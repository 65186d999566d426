# make demo    install what is needed, run the workflow on config/config.yaml, print the table
# make test    the tests that need no GPU, no data sets and no patience
# make test-slow    the slow ones: the whole workflow in small, pages in a browser, the site
# make test-faults   kill jobs, fill disks, damage files; LONG=1 for the long form (docs/faults.md)
# make fuzz    2,000 damaged data sets and configurations; CASES=10000 for more (docs/security.md)
# make test-slurm    the workflow on a throw-away Slurm; needs root and Slurm's packages
# make bench   the kernels' speed against plain PyTorch; writes results/bench.json
# make lint    style, types, and the workflow's own checks
# make docs    the documentation as a site, in site/
# make clean   remove the environment, the site and all results
#
# Variables: PYTHON (the interpreter that makes .venv), CORES (default: all), WORKERS (processes that
# test side by side; default: one a core, at most eight), PIP_ARGS (more options
# for pip, e.g. an index with the CPU build of torch, which spares a machine without a GPU the
# download of the CUDA libraries: --extra-index-url https://download.pytorch.org/whl/cpu).
PYTHON ?= python3
CORES ?= all
WORKERS ?= logical
CASES ?= 2000
PIP_ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install $(PIP_ARGS) -c constraints.txt
# The tests of a file stay together, since they share what was costly to make, in tests/conftest.py's
# order.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist loadfile \
    --no-loadscope-reorder
REPORT := results/report.html
# A report older than any of these is built anew.
SHOWN := results/tables results/figures rules/captions

.DELETE_ON_ERROR:
.PHONY: demo report test test-slow test-faults fuzz test-slurm bench lint docs clean

demo: .venv/workflow.stamp
	$(BIN)/snakemake --cores $(CORES) --rerun-incomplete
	@$(MAKE) --no-print-directory report
	@$(BIN)/python -c "from pathlib import Path; from dac.report.tables.main import format_main_table; print(format_main_table(Path('results/tables/main.csv')))"
	@echo "To look around in the scenes: $(BIN)/dac view results"
	@echo "To be opened in a browser, a page a scene: $$(ls $(abspath results)/report-*.html | tr '\n' ' ')"
	@echo "and all tables and figures: $(abspath $(REPORT))"

report: .venv/workflow.stamp
	@if [ ! -e $(REPORT) ] || [ -n "$$(find $(SHOWN) -newer $(REPORT))" ]; then \
	    $(BIN)/snakemake --cores 1 --report $(REPORT) --report-stylesheet rules/captions/report.css && \
	    for scene in $$(ls -d results/*/scene | cut -d/ -f2); do \
	        $(BIN)/python -m dac report results --scene $$scene || exit 1; \
	    done; \
	fi

test: .venv/test.stamp
	$(PYTEST) -m "not slow and not gpu and not data and not faults and not slurm"

test-slow: .venv/test.stamp
	$(PYTEST) -m "slow and not gpu and not data"

test-faults: .venv/test.stamp
	LONG=$(LONG) ONLY=$(ONLY) $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
	    -m faults tests/faults

fuzz: .venv/test.stamp
	$(BIN)/python tests/fuzz --cases $(CASES)

test-slurm: .venv/test.stamp
	$(BIN)/python -m pytest -x -m slurm tests/slurm

bench: .venv/workflow.stamp
	$(BIN)/python -m bench.run

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

docs: .venv/test.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	    echo "error: '$(PYTHON)' is no Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.12" >&2; \
	    exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

# The stamps let a second run skip pip altogether.
.venv/workflow.stamp: constraints.txt pyproject.toml | .venv/bin/python
	@echo "Installing the pinned versions of constraints.txt into .venv (some minutes)"
	@$(PIP) -e ".[workflow,app]"
	@touch $@

.venv/test.stamp: .venv/workflow.stamp
	@echo "Installing the tests' tools into .venv"
	@$(PIP) -e ".[workflow,app,dev]"
	@touch $@

clean:
	rm -rf .venv results site .snakemake
