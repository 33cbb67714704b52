# Needs make and Python 3.11 or newer; PYTHON=/path/to/python selects another one.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8866
BIN := .venv/bin

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

dashboard: .venv/installed  ## serve the page and the HTTP interface on http://127.0.0.1:8866 (HOST=... PORT=... to change)
	@$(BIN)/malaria-detect serve --host $(HOST) --port $(PORT) $(ARGS)

# Two tests at a time, with one thread each: two tests with two threads each would slow each other down. After a crash,
# loadfile would wait forever for the rest of the file; without a restart, the run ends. tests/conftest.py has the order.
TWO := -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest $(TWO)

test: check  ## check style, types and imports, and run all tests
	$(PYTEST) $(ARGS)

test-quick: check  ## the same without the slow tests
	$(PYTEST) -m "not slow" $(ARGS)

check: .venv/installed-test  ## check style, types and imports
	$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy && $(BIN)/lint-imports

docs: .venv/installed-test  ## build the documentation site in build/site (ARGS=serve to view it)
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.docs.tutorials
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs $(or $(ARGS),build)

train: .venv/installed-train  ## train a model: writes export.pkl, .json, .npz and .graph (ARGS="--help" lists the options)
	$(BIN)/malaria-detect train $(ARGS)

evaluate: .venv/installed-train  ## cross-validate the training recipe (ARGS="--split random" for a random split)
	$(BIN)/malaria-detect evaluate $(ARGS)

compare: .venv/installed-train  ## train other designs on the same patients (ARGS="--help" lists the options)
	$(BIN)/malaria-detect compare $(ARGS)

report: .venv/installed-train  ## write the README's table, MODEL_CARD.md and the figures from the result files
	$(BIN)/python -m tools.model_card

bench: .venv/installed-test  ## measure the speed of training, prediction, explanations, intervals and fields
	$(BIN)/python -m benchmarks.train && $(BIN)/python -m benchmarks.predict && $(BIN)/python -m benchmarks.bootstrap \
	    && $(BIN)/python -m benchmarks.explain && $(BIN)/python -m benchmarks.fields

bench-serve: .venv/installed-test  ## measure the memory, start and response times of the page
	$(BIN)/python -m benchmarks.serve $(ARGS)

doctor: .venv/installed  ## say which versions differ from the tested ones, and what this machine lacks
	@$(BIN)/python -m tools.doctor

test-lowest: .venv/installed-test  ## run the tests with the lowest versions that pyproject.toml allows (installs into .venv-lowest)
	$(PYTHON) -m venv .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --torch-backend auto \
	    -e '.[train,test,docs]'
	OMP_NUM_THREADS=1 .venv-lowest/bin/pytest $(TWO) $(ARGS)

audit: .venv/installed-train  ## check the installed versions for known vulnerabilities (needs a network connection)
	$(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install --quiet pip-audit==2.10.1
	.venv-audit/bin/pip-audit --strict --skip-editable \
	    --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

clean:  ## remove the environment, the caches and the built site
	rm -rf .venv .venv-audit .venv-lowest .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build docs/tutorials
	find . -name __pycache__ -prune -exec rm -rf {} +

# The files named installed* mark a finished installation, which is repeated when the requirements change: of pages and
# predictions, of training in addition, and of tests in addition.
.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "malaria_detect needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) tools/install.py
	@touch $@

.venv/installed-train: .venv/installed
	@$(PYTHON) tools/install.py -r requirements.txt
	@touch $@

.venv/installed-test: .venv/installed-train
	@$(PYTHON) tools/install.py -r requirements.txt -e '.[train,test,docs]'
	@touch $@

.PHONY: help dashboard test test-quick check docs train evaluate compare report bench bench-serve doctor test-lowest audit clean
