# make run    compiles pipeline.yaml and runs every step of it on this machine
# make test   runs every test but that of a real Ray cluster (docs/serving.md), several files at once
# make package  builds the code of the Lambda functions into build/functions, for the bucket of infra/template.yaml
# make check  what CI asks of the code: lint, format, types, who may import whom, the stack, the workflows, the policies
# Each installs what is missing first; when requirements.lock and pyproject.toml have not changed, that costs nothing.
# PYTHON=/path/to/python3.12 picks the interpreter, VENV=folder another environment, ARGS="…" goes to the command.

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CODE := pipeline steps entrypoints tests scripts benchmarks

# Tests of pages drive a real browser. CHROMIUM=/path names one that is not on the PATH.
CHROMIUM ?= $(firstword $(foreach name,chromium chromium-browser google-chrome google-chrome-stable,$(shell command -v $(name))))
define INSTALL_CHROMIUM
if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
  echo "installing Chromium, which tests of pages drive" >&2; \
  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium >/dev/null \
    || echo "it could not be installed: tests of pages will fail" >&2; \
else \
  echo "no Chromium: tests of pages will fail. Debian: sudo apt install chromium; or make test CHROMIUM=/path/to/it" >&2; \
fi
endef

.PHONY: run test check format lock package
.DELETE_ON_ERROR:

run: $(STAMP)
	@$(BIN)/python -m pipeline run $(ARGS)

test: $(STAMP)
	$(if $(CHROMIUM),,@$(INSTALL_CHROMIUM))
	@$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check $(wildcard $(CODE))
	$(BIN)/ruff format --check $(wildcard $(CODE))
	$(BIN)/mypy
	$(BIN)/cfn-lint infra/template.yaml infra/serving-image.yaml
	$(BIN)/zizmor --offline --no-progress .github/workflows
	$(BIN)/python -m pytest tests/test_imports.py tests/test_iam_check.py

format: $(STAMP)
	$(BIN)/ruff check --fix $(wildcard $(CODE))
	$(BIN)/ruff format $(wildcard $(CODE))

package: $(STAMP)
	@$(BIN)/python -m pipeline infra --functions build/functions $(ARGS)

# from an environment in which the tests pass
lock: $(STAMP)
	$(BIN)/python scripts/lock.py > requirements.lock.new && mv requirements.lock.new requirements.lock

# A candidate counts only if it runs (a pyenv shim may exist and answer 127), is 3.11 or 3.12, and can make environments
# (Debian splits ensurepip off). An environment whose interpreter has gone is made anew.
FITS := import ensurepip, sqlite3, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))

$(STAMP): requirements.lock pyproject.toml
	@if ! $(BIN)/python -c '$(FITS)' 2>/dev/null; then \
	  found=; for python in $(if $(PYTHON),'$(PYTHON)',python3.12 python3.11 python3 python); do \
	    "$$python" -c '$(FITS)' >/dev/null 2>&1 && found=$$python && break; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "no Python 3.11 or 3.12 with venv found$(if $(PYTHON), as $(PYTHON))" >&2; \
	    echo "install one (Debian: apt install python3.11-venv), or: make PYTHON=/path/to/python3.12" >&2; exit 1; \
	  fi; \
	  echo "making $(VENV) with $$("$$found" --version)" >&2; \
	  "$$found" -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "installing into $(VENV): two to four minutes the first time" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q pipeline steps entrypoints
	@touch $@
