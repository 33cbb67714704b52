# Needs make and Python 3.11 or newer, nothing else; PYTHON=/path/to/python names another one.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8866
BIN := .venv/bin

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

dashboard: .venv/installed  ## serve page and HTTP interface, on http://127.0.0.1:8866 unless HOST or PORT say otherwise
	@$(BIN)/malaria-detect serve --host $(HOST) --port $(PORT) $(ARGS)

# Two tests at a time, each with one thread: two that share two cores with two threads each wait for one another.
test: .venv/installed-test  ## lint, check the types, run the tests
	$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy \
	    && OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile $(ARGS)

train: .venv/installed  ## train on the cells and write export.pkl with its passport (ARGS="--help" lists the options)
	$(BIN)/malaria-detect train $(ARGS)

evaluate: .venv/installed  ## cross-validate the recipe (ARGS="--split random" for the split that others use)
	$(BIN)/malaria-detect evaluate $(ARGS)

compare: .venv/installed  ## train other people's designs on the same patients (ARGS="--help" lists the options)
	$(BIN)/malaria-detect compare $(ARGS)

report: .venv/installed  ## write README's numbers, MODEL_CARD.md and the figures in reports/ from result files
	$(BIN)/python -m tools.model_card

bench: .venv/installed  ## time training, predicting, explaining and intervals against the plain way
	$(BIN)/python -m benchmarks.train && $(BIN)/python -m benchmarks.predict && $(BIN)/python -m benchmarks.bootstrap \
	    && $(BIN)/python -m benchmarks.explain

bench-ways: .venv/installed-test  ## hold number formats and runtimes together (ARGS="--sample DIR"); installs two more runtimes
	$(BIN)/pip install --quiet -r requirements.txt -e '.[ways]'
	$(BIN)/python -m benchmarks.precision $(ARGS)

bench-serve: .venv/installed-test  ## measure the page against the plain way: memory, start, answers, many visitors
	$(BIN)/python -m benchmarks.serve $(ARGS)

audit: .venv/installed  ## look the installed versions up among known vulnerabilities; needs the network
	$(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install --quiet pip-audit==2.10.1
	.venv-audit/bin/pip-audit --strict --skip-editable \
	    --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

clean:  ## remove the environment and the caches
	rm -rf .venv .venv-audit .mypy_cache .pytest_cache .ruff_cache .hypothesis && find . -name __pycache__ -prune -exec rm -rf {} +

# The files named installed* stand for a finished installation: it is repeated when a pin or a range changes.
.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "malaria_detect needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -r requirements.txt
	@touch $@

.venv/installed-test: .venv/installed
	$(BIN)/pip install -r requirements.txt -e '.[test]'
	@touch $@

.PHONY: help dashboard test train evaluate compare report bench bench-ways bench-serve audit clean
