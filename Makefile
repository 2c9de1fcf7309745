# The environment is built once, by whichever target needs it first, and again when what it is made from changes.

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types notebooks pictures check benchmarks bench-features bench-churn bench-budget bench-timing bench-nightly clean
MAKEFLAGS += --no-print-directory

PYTHON :=
ENVIRONMENT := .venv/.installed
IN_PARALLEL := --numprocesses auto --maxprocesses 8 --dist loadfile
PIP_INSTALL := .venv/bin/python -m pip install -qq --disable-pip-version-check --no-input --constraint .ci/constraints.txt

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 24

install: $(ENVIRONMENT)  ## Create .venv with the package and its tools (PYTHON=... names the interpreter)

demo: $(ENVIRONMENT)  ## Run the whole job on the sample, from log to report
	@.venv/bin/crm-ml demo

test: $(ENVIRONMENT)  ## Run the tests, the doctests and the README
	@.venv/bin/python -m pytest $(IN_PARALLEL)

lint: $(ENVIRONMENT)  ## Check rules and formatting
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .

types: $(ENVIRONMENT)  ## Check types
	@.venv/bin/mypy

notebooks: $(ENVIRONMENT)  ## Execute every notebook, keeping nothing
	@out=$$(mktemp -d) && trap 'rm -rf "$$out"' EXIT && \
	export IPYTHONDIR="$$out/ipython" PYDEVD_DISABLE_FILE_VALIDATION=1 OMP_NUM_THREADS=1 && \
	printf '%s\n' notebooks/*.ipynb | \
	xargs -P 2 -n 1 .venv/bin/jupyter-nbconvert --execute --to notebook --output-dir "$$out"

pictures: $(ENVIRONMENT)  ## Regenerate the README's pictures from the demo (takes two minutes, needs Chromium)
	@PYTHONPATH=tests .venv/bin/python tests/pictures.py notebooks/pictures

check: lint types test notebooks  ## All of the above checks

benchmarks: $(ENVIRONMENT)  ## Print speed, accuracy, published values and holdouts of the CLV models; wants a quiet machine
	@export OMP_NUM_THREADS=1 PYTHONPATH=tests && \
	.venv/bin/python tests/benchmarks/speed.py cdnow 100000 1000000 && \
	for table in accuracy holdouts interval_coverage audit reference_values; do \
		echo; .venv/bin/python tests/benchmarks/$$table.py || exit; \
	done

bench-features: $(ENVIRONMENT)  ## Print the features' speed beside pandas and DuckDB, from files and frames, as shops grow
	@export PYTHONPATH=. shop="--customers 1000000 --transactions 20000000 --interactions 60000000" && \
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	.venv/bin/python tests/benchmarks/features.py table $$shop --folder "$$folder" && \
	for part in profile nights; do .venv/bin/python tests/benchmarks/feature_$$part.py "$$folder" || exit; done && \
	.venv/bin/python tests/benchmarks/features.py frames $$shop --folder "$$folder" && \
	.venv/bin/python tests/benchmarks/features.py scaling

bench-churn: $(ENVIRONMENT)  ## Print the churn model beside its rivals, its choices and alarms, its training time and memory
	@export PYTHONPATH=.:tests && \
	for table in churn churn_choices alarms; do \
		OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/$$table.py || exit; echo; \
	done && \
	for part in table large; do .venv/bin/python tests/benchmarks/churn_training.py $$part || exit; echo; done

bench-budget: $(ENVIRONMENT)  ## Print the plan at scale, experiments under repetition, uplift on real and simulated campaigns
	@export PYTHONPATH=.:tests && \
	for table in budget experiments hillstrom attainable; do \
		.venv/bin/python tests/benchmarks/$$table.py || exit; echo; \
	done

bench-timing: $(ENVIRONMENT)  ## Print how often the next purchase came within its interval, beside simpler ways
	@PYTHONPATH=. .venv/bin/python tests/benchmarks/next_purchase.py

bench-nightly: $(ENVIRONMENT)  ## Print the nightly job at one and ten million customers, and what became of it in bad nights
	@export PYTHONPATH=.:tests && \
	for table in nightly faults; do .venv/bin/python tests/benchmarks/$$table.py || exit; echo; done

clean:  ## Remove the environment, caches and builds; models/ stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	@find crm_ml tests notebooks data -name __pycache__ -prune -exec rm -rf {} +

# The environment counts as finished by one rename at the very end. One that was cut short is started anew.
# Where there is no uv, pip fetches it into .venv: on this many packages pip itself takes some ten times as long.
$(ENVIRONMENT): pyproject.toml .ci/constraints.txt
	@set -e; \
	runs() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }; \
	if [ -e .venv/.unfinished ]; then rm -rf .venv; fi; \
	echo "Installing crm_ml and its tools into .venv, which takes about a minute."; \
	mkdir -p .venv; touch .venv/.unfinished; rm -f $@; \
	if runs .venv/bin/python; then :; \
	elif command -v uv >/dev/null; then \
		uv venv --quiet --seed --allow-existing --python "$(or $(PYTHON),>=3.11)" .venv; \
	else \
		for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
			if runs "$$python"; then break; fi; python=; \
		done; \
		if [ -z "$$python" ]; then \
			echo "crm_ml needs Python 3.11 or newer; found: $$($(or $(PYTHON),python3) --version 2>&1)." >&2; \
			echo "Install one, or name it: make install PYTHON=/path/to/python3.12" >&2; \
			exit 1; \
		fi; \
		"$$python" -m venv .venv; \
	fi; \
	uv=$$(command -v uv || echo .venv/bin/uv); \
	if [ "$$uv" = .venv/bin/uv ]; then $(PIP_INSTALL) uv; fi; \
	if ! "$$uv" pip install --quiet --python .venv/bin/python --constraint .ci/constraints.txt --editable '.[dev]'; then \
		echo "uv could not do it; trying pip, which takes some minutes."; \
		$(PIP_INSTALL) --editable '.[dev]'; \
	fi; \
	mv .venv/.unfinished $@
