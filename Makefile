# Everything starts here: `make help`.
#
# Needs Python 3.11 or newer, make and git; no root. Whatever environment is active is left alone.
# Stamp files inside .venv record what is installed: a second run installs nothing, and a changed lock
# file installs the difference.

# `make -f elsewhere/Makefile target`: go there first, since every path below is relative to this file.
here := $(shell dirname "$(strip $(MAKEFILE_LIST))")
ifneq ($(here),.)
%:
	@$(MAKE) --no-print-directory -C "$(here)" $@
.DEFAULT_GOAL := help
help:
	@$(MAKE) --no-print-directory -C "$(here)" help
else

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: setup test test-jax matrix demo bench format lock clean help

# The first Python on the path that is new enough; `make PYTHON=... setup` to choose.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
SIZE ?= 1
UPGRADE ?=
# TORCH=0: without PyTorch, which is large; the tests then say what they left out.
TORCH ?= 1
export TORCH

# An active environment must not leak into ours, nor ours into it.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH
# Trust the certificates that the system trusts, as pip does.
export UV_SYSTEM_CERTS ?= 1
export UV_PYTHON_DOWNLOADS ?= never

python := .venv/bin/python
uv := .venv/bin/uv
bench_python := .venv-bench/bin/python
sync = $(uv) pip sync --require-hashes --build-constraints
# PyTorch is not in the lock (requirements/torch.in says why), so each sync removes it, and it has a stamp of
# its own that is older then.
install_torch = $(python) -m pip --disable-pip-version-check --python
with_torch = $(if $(filter-out 0,$(TORCH)),$(1)/.torch)
install_project = $(uv) pip install --quiet --no-deps --no-build-isolation --editable . --python

# An environment names its own folder inside its files. Moved or copied, it would run the old folder's
# code, so it is made again.
ifneq ($(shell cat .venv/.made-in 2>/dev/null),$(CURDIR))
.PHONY: .venv/.made-in
endif
ifneq ($(shell cat .venv-bench/.made-in 2>/dev/null),$(CURDIR))
.PHONY: .venv-bench/.made-in
endif

setup: .venv/.installed $(call with_torch,.venv)  ## make .venv with everything the other targets need

test: setup  ## all checks: format, lint, types, layers, doctests, docs, tests; TORCH=0 leaves PyTorch out
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	$(python) -m pytest

test-jax: setup  ## the tests of the Keras adapter once more, with JAX in the place of PyTorch
	KERAS_BACKEND=jax $(python) -m pytest tests/adapters -k keras

# The deadline's stacks would be those of a healthy test: some run for minutes here.
matrix: setup  ## `kill -9` in each kind of program and at each step, 100 000 arrays, a million files; some 20 minutes
	OUTCORE_TESTS=long $(python) -m pytest -o faulthandler_timeout=0 tests/shared/test_matrix.py \
		tests/shared/test_stress.py tests/text/test_file_run.py tests/text/test_ingesting_memory.py \
		tests/text/test_ingesting_many_files.py tests/text/test_long_records.py

demo: setup  ## the main jobs on real files, beside what people use today; SIZE=2 for twice the data
	.venv/bin/outcore demo --size $(SIZE)

bench: .venv-bench/.installed $(call with_torch,.venv-bench)  ## ratios to the peers, in an environment of their own (.venv-bench)
	$(bench_python) -m benchmarks

format: setup  ## write the code the way `make test` wants it
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

clean:  ## remove the environments and everything that was built
	rm -rf .venv .venv-bench build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/make \1|\2/p' Makefile | while IFS='|' read -r a b; do printf '%-13s  %s\n' "$$a" "$$b"; done

# ---------------------------------------------------------------------------------------- set-up
.venv/.made-in: requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "outcore needs Python 3.11 or newer; found none on the PATH. Try: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear .venv
	$(python) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/uv.txt
	@echo "$(CURDIR)" > $@

.venv/.synced: requirements/dev.txt .venv/.made-in
	$(sync) requirements/dev.txt --python $(python) requirements/dev.txt
	@touch $@

.venv/.installed: pyproject.toml .venv/.synced
	$(install_project) $(python)
	@touch $@

.venv/.torch: requirements/torch.in .venv/.synced
	$(install_torch) $(python) install --quiet --requirement requirements/torch.in
	@touch $@

.venv-bench/.made-in: .venv/.made-in
	$(python) -m venv --clear --without-pip .venv-bench
	@echo "$(CURDIR)" > $@

.venv-bench/.synced: requirements/bench.txt .venv-bench/.made-in
	$(sync) requirements/bench.txt --python $(bench_python) requirements/bench.txt
	@touch $@

.venv-bench/.installed: pyproject.toml .venv-bench/.synced
	$(install_project) $(bench_python)
	@touch $@

.venv-bench/.torch: requirements/torch.in .venv-bench/.synced
	$(install_torch) $(bench_python) install --quiet --requirement requirements/torch.in
	@touch $@

# ----------------------------------------------------------------------------------------- locks
# One file for every platform and every Python from 3.11 on. The files name no registry host and no
# folder of the machine that wrote them.
compile = $(uv) pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-emit-find-links --excludes requirements/excluded.in \
	--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

lock: .venv/.made-in  ## write requirements/*.txt again; UPGRADE=1 takes the newest versions
	$(compile) requirements/uv.in --output-file requirements/uv.txt
	$(compile) pyproject.toml --extra fast --extra codecs requirements/dev.in --output-file requirements/dev.txt
	$(compile) pyproject.toml --extra fast --extra codecs requirements/bench.in --constraint requirements/dev.txt \
		--output-file requirements/bench.txt

endif
