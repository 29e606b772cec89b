# Everything from a bare clone: each target sets up what it needs (.venv, and as root the Debian
# packages); without root it says what is missing and runs what it can.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2

PROJECTS := . cli $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/*/pyproject.toml))
SOURCES  := $(addsuffix /pyproject.toml,$(PROJECTS)) tools/setup tools/debian-packages.txt

# The tests start thousands of processes: none may compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: venv test lint format bench demo demo-stop wheels clean

venv: $(VENV)/.ready

$(VENV)/.ready: $(SOURCES)
	@PYTHON=$(PYTHON) tools/setup $(VENV) $(PROJECTS)
	@touch $@

test: venv
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/typecheck $(PROJECTS)
	PYTHONPATH=cli $(BIN)/lint-imports setup.cfg

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: venv
	$(BIN)/python -m benchmarks $(ARGS)

demo: venv
	@PATH="$(CURDIR)/$(BIN):$$PATH" tools/demo

demo-stop: venv
	@PATH="$(CURDIR)/$(BIN):$$PATH" tools/demo stop

wheels: venv
	$(BIN)/python tools/wheels wheels $(PROJECTS)

clean:
	rm -rf $(VENV) build dist wheels .pytest_cache .mypy_cache .ruff_cache *.egg-info
