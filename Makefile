# One door for people and CI. Needs python3 >= 3.11 and make; everything else is put into .venv by the first call.
#   PYTHON=python3.12       which Python makes .venv
#   SHARDSTREAM_VENV=DIR    use (and fill once) that environment instead of .venv
#   PYTEST_ARGS="-k tar"    handed to pytest
#   PYTEST_WORKERS=1        processes that run the tests; default one a core

VENV := $(or $(SHARDSTREAM_VENV),.venv)
PY := $(VENV)/bin/python
PYTHON ?=
PYTEST_ARGS ?=
PYTEST_WORKERS ?= auto
ROOMS := cli loaders shard_writer transforms
GROUND := $(filter-out __init__,$(basename $(wildcard *.py)))

# A stamp is written last, so a half-made environment is never taken for whole. Its name is a checksum of the
# requirements, not their time, so a fresh clone with the same ones finds a shared environment ready.
WANTED := $(shell { cat pyproject.toml constraints.txt; $(if $(SHARDSTREAM_VENV),:,pwd); } | cksum | cut -d' ' -f1)
DEV := $(VENV)/.shardstream-dev-$(WANTED)
DEMO := $(VENV)/.shardstream-demo-$(WANTED)

# The checkout itself is what is imported, also where a shared environment was installed from another one.
export PYTHONPATH := $(CURDIR)/.dev
# Tools run as modules, so that a moved .venv still works; -P keeps the root's rooms off sys.path.
RUN := $(PY) -P -m

.DEFAULT_GOAL := help
.PHONY: help demo test check prove bench peers clean

help: ## this list
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## (.*)/make \1\t\2/' | expand -t 14

demo: .dev/shardstream | $(if $(wildcard $(DEV)),$(DEV),$(DEMO)) ## offline, end to end: pack, stream, train a small model
	$(VENV)/bin/shardstream demo

test: $(DEV) .dev/shardstream ## all tests but the slow ones
	$(RUN) pytest -m "not slow" -n $(PYTEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

check: $(DEV) .dev/shardstream ## lint, format, strict types, one-way imports
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy -m shardstream $(addprefix -m shardstream.,$(GROUND)) $(addprefix -p shardstream.,$(ROOMS))
	$(RUN) pytest -q tests/house/test_import_flow.py

prove: $(DEV) .dev/shardstream ## the slow sweeps, then the benchmarks
	$(RUN) pytest -m slow $(PYTEST_ARGS)
	$(MAKE) bench

bench: $(DEV) .dev/shardstream ## packing and streaming beside webdataset, in one run
	$(PY) benchmarks/run.py

peers: $(DEV) .dev/shardstream ## the other loaders that benchmarks compare with, each in its own environment
	$(PY) benchmarks/peers/install.py

clean: ## remove what make, tests and tools left behind
	rm -rf .venv .dev build dist demo-out benchmarks/.peers *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Static tools cannot follow an install that maps the repository root to a package; this link they can.
.dev/shardstream:
	mkdir -p .dev
	ln -sfn .. $@

$(DEV): EXTRA := dev
$(DEMO): EXTRA := demo
$(DEV) $(DEMO):
	@$(RUN) pip --version >/dev/null 2>&1 || { $(pick-python); }
	$(RUN) pip install --disable-pip-version-check -c constraints.txt -e '.[$(EXTRA)]'
	@rm -f $(VENV)/.shardstream-$(EXTRA)-*
	@touch $@

# The first Python that is new enough and can make an environment (Debian splits venv off).
define pick-python
for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
  if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
    echo "making $(VENV) with $$($$python --version)"; \
    $(if $(SHARDSTREAM_VENV),,rm -rf $(VENV);) exec $$python -m venv $(VENV); \
  fi; \
done; \
echo "No Python >= 3.11 with venv among: $(or $(PYTHON),python3.13 python3.12 python3.11 python3)." >&2; \
echo "Install one (Debian: apt-get install python3 python3-venv), or say which: make PYTHON=/path/to/python3" >&2; \
exit 1
endef
