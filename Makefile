# make book and make test are the two commands of the README; `make help` lists the others.
PYTHON ?= python3
PY := .venv/bin/python
INSTALLED := .venv/.installed
EMPTY := $(CURDIR)/_build/empty

# One thread: the same training differs in the last digit between one thread and two.
export OMP_NUM_THREADS := 1
# An empty folder: private results of the person who builds must not leak into the book.
export INVLIB_RESULTS := $(EMPTY)
# Stored outputs must not depend on what this machine has: no data sets, no weights, no bars.
BARE := INVLIB_DATA='$(EMPTY)' INVLIB_WEIGHTS='$(EMPTY)' TORCH_HOME='$(EMPTY)' INVLIB_PROGRESS=0

# A process for each core, as far as memory goes.
SPREAD := -n auto --maxprocesses 4

.PHONY: help venv empty book test lint run paper bench clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1: /'

venv: $(INSTALLED)  ## make .venv and install the package with the pinned set (about 2 GB)

$(INSTALLED): pyproject.toml constraints.txt environment/sitecustomize.py
	@echo "Installing into .venv (about 2 GB, a few minutes) ..."
	$(PYTHON) -m venv .venv
	$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[book,test]' torch torchvision
	@cp environment/sitecustomize.py "$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	@touch $@

empty:
	@rm -rf '$(EMPTY)' && mkdir -p '$(EMPTY)'

book: $(INSTALLED) empty  ## execute every chapter and build the HTML book into _build/html
	$(PY) -m book.build stage
	$(PY) -m book.pages
	.venv/bin/jupyter-book build -n -W --keep-going _build/stage --path-output .
	@echo "The book: file://$(CURDIR)/_build/html/index.html"

test: $(INSTALLED) empty  ## unit tests, every chapter at the smoke profile, stored outputs (nbval)
	$(PY) -m pytest $(SPREAD) --dist worksteal
	$(BARE) $(PY) -m pytest $(SPREAD) --dist loadfile --nbval --nbval-current-env notebooks

lint: $(INSTALLED)  ## ruff on code and notebooks, mypy, who may import whom
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	.venv/bin/lint-imports --no-logo

run: $(INSTALLED) empty  ## refresh the stored outputs of the notebooks, and README.md
	$(BARE) $(PY) -m book.build refresh
	$(BARE) $(PY) -m book.front

paper: $(INSTALLED) empty  ## with a GPU: the studies at paper size, then refresh the outputs
	@$(PY) -c 'import sys, torch; torch.cuda.is_available() or sys.exit("make paper needs a CUDA GPU: \
	torch.cuda.is_available() is false here.")'
	-for study in imagenet fully_translated kernel_size; do \
	.venv/bin/invlib run $$study --profile paper --results invlib/stored; done
	$(PY) -m book.build stage profile=paper
	$(MAKE) run

bench: $(INSTALLED) empty  ## speed, as ratios against plain loops (invlib/stored/speed.json)
	for process in 1 2 3; do $(PY) -m pytest benchmarks --benchmark-quiet \
	--benchmark-json="$(EMPTY)/bench-$$process.json" || exit 1; done
	$(PY) -m benchmarks.summary '$(EMPTY)'/bench-*.json

clean:  ## remove _build (the .venv stays)
	rm -rf _build
