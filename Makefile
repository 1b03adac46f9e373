# Halflife: `make help` lists the targets. Every target does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORE ?= store
DATASET ?= movielens-100k
PORT ?= 8000
NAME ?= ingest bootstrap effect
PEERS ?= ease,item-knn,als,sasrec,hstu
QUALITY ?=
RUNS ?= 200
SEED ?= 1
# Where plain pip would fetch a GPU build of torch: TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
export OMP_NUM_THREADS ?= 1
# Packages are installed without bytecode: Python keeps it as they are first imported.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install promtool chromium demo test unit gpu lint proto format up down clean bench bench-quality chaos

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## make .venv with everything that demo and test need

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Halflife needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up $(VENV): about 670 MB of packages, a minute or more ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-input --no-compile --constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch==2.13.0
	$(BIN)/python -m pip install --quiet --no-input --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: install ## the main job on real data (DATASET=completejourney, DEMO_EXIT=1 to stop the server at the end)
	$(BIN)/python -m cluster.demo --dataset $(DATASET) --store $(STORE)/$(DATASET) --port $(PORT) $(if $(filter 1,$(DEMO_EXIT)),--exit)

promtool: ## the checker of alert rules that the tests need (Debian's package prometheus)
	@command -v promtool >/dev/null || apt-get install -y -q --no-install-recommends prometheus >/dev/null || \
		{ echo "The tests need promtool; as root: apt-get install --no-install-recommends prometheus"; exit 1; }

chromium: ## the browser that the console's tests drive (Debian's package chromium)
	@command -v chromium >/dev/null || apt-get install -y -q --no-install-recommends chromium >/dev/null || \
		{ echo "The tests need Chromium; as root: apt-get install --no-install-recommends chromium"; exit 1; }

test: install promtool chromium ## all tests but the slow suites
	$(BIN)/python -m pytest

unit: install promtool ## unit tests only (seconds, no Ray)
	$(BIN)/python -m pytest tests/unit

gpu: install ## what needs a GPU: encoding, training in the three stages (fails without one)
	$(BIN)/python -m pytest -m gpu tests/gpu tests/unit/training/test_placing.py

chaos: install ## kill, stop and cut off what trains and what serves (slow; RUNS=200 SEED=1)
	$(BIN)/python -m pytest tests/chaos
	$(BIN)/python -m tests.chaos.pool --runs $(RUNS) --seed $(SEED)

lint: install ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

proto: install ## write the Python of serving/rpc/halflife.proto anew
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. serving/rpc/halflife.proto

format: install ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

up: install ## bring the pool and the application up on this machine
	$(BIN)/python -m cluster.local up --store $(STORE)/$(DATASET) --port $(PORT)

down: install ## end what `make up` or `make demo` left running
	$(BIN)/python -m cluster.local down --store $(STORE)/$(DATASET)

bench: install ## benchmarks, one JSON line each (NAME="ingest bootstrap effect")
	@for name in $(NAME); do $(BIN)/python -m tests.benchmarks $$name || exit 1; done

bench-quality: export TORCH_INDEX := $(TORCH_INDEX)
bench-quality: install ## quality beside other programs, which get their own environment (QUALITY="--parts time,loo")
	$(BIN)/python -m tests.benchmarks.peers.environment
	$(BIN)/python -m tests.benchmarks quality --peers $(STORE)/peers --peer-systems $(PEERS) $(QUALITY)

clean: ## remove the environment and caches (never a store; `make down` first)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
