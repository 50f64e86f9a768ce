# make run: set up and run the experiment "quick".   make test: set up and test.   make docs: set up and build the site.
# Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Byte code is written once; several hundred processes would each compile this code anew. `setup` writes that of what all verbs
# import: that of all that is installed takes five times as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup run test docs lint lock clean

setup: $(VENV)/.ready

# uv installs on all cores; pip takes its place if the package index is known to pip alone (pip.conf).
$(VENV)/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("error: Python 3.11 or later is needed, this is %d.%d. Name one with: make PYTHON=/path/to/python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.txt > $(VENV)/uv.txt
	$(BIN)/python -m pip install -qq --require-hashes --requirement $(VENV)/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.txt \
	  || $(BIN)/python -m pip install -qq --require-hashes --requirement requirements.txt
	$(BIN)/python -m pip install -qq --no-deps --editable .
	@$(BIN)/harness --help > /dev/null
	@touch $@

run: setup
	$(BIN)/harness run quick

test: setup
	$(BIN)/python -m pytest tests/performance
	$(BIN)/python -m pytest --ignore tests/performance --numprocesses 4 --dist loadfile --no-loadscope-reorder

# The build itself asks no network. The variable: the theme advertises its successor at each build otherwise.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict --clean
	@echo "the site is built: open site/index.html"

$(VENV)/.docs: $(VENV)/.ready requirements-docs.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements-docs.txt \
	  || $(BIN)/python -m pip install -qq --require-hashes --requirement requirements-docs.txt
	@touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: setup
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --universal --python-version 3.11 --extra bench --extra cluster --extra dev pyproject.toml --output-file requirements.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --universal --python-version 3.11 --group docs --constraint requirements.txt --output-file requirements-docs.txt
	$(BIN)/python -m harness.environments lock

clean:
	rm -rf $(VENV) .environments site
