# `make` lists what there is. ARGS goes to the command behind a target: make serve ARGS="--port 9000"

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
# the first of these that is a Python which Tritonreel runs on
PYTHON ?= $(shell for python in python3 python3.12 python3.11; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && exit; done; echo python3)
SUPPORTED := import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -c constraints.txt -e
# of OpenAI, which a test runs where there is Node
NODE_SDK := npm install --silent --no-audit --no-fund --prefix $(VENV)/node openai@6.49.0
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
INSTALLED_BENCH := $(VENV)/.installed-bench

# the bundled checkpoints and what is made of them; `serve` serves them until others are exported to model_repository
# while they are being made, text-to-video first
FIRST_CHECKPOINT := toy/checkpoints/toy-wan-t2v
CHECKPOINTS := $(FIRST_CHECKPOINT) $(filter-out $(FIRST_CHECKPOINT),$(wildcard toy/checkpoints/*))
TOYS := toy_model_repository
OTHERS := $(wildcard model_repository/generate/1/*/card.json)
SERVE_TOYS := $(if $(OTHERS)$(findstring --model-repository,$(ARGS)),,yes)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  Options: ARGS="--port 9000" for the command, PYTHON=python3.12, VENV=$(VENV)'

.PHONY: serve
serve: $(INSTALLED) ## Set up everything and serve on http://127.0.0.1:8000
	@exec $(BIN)/python -m launcher \
		$(if $(SERVE_TOYS),--model-repository $(TOYS) $(addprefix --export ,$(CHECKPOINTS))) $(ARGS)

.PHONY: stop
stop: ## Stop what `make serve` started
	@if [ -x $(BIN)/python ]; then exec $(BIN)/python -m launcher stop $(ARGS); else echo "No server is running."; fi

# tests of one file share servers, so a file stays with one worker; those of few long tests must not come last
PARALLEL := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# where those with the marker `unit` are; the others take long to import
UNIT_TESTS := $(addprefix tests/,benchmarks cli frontend integrations pipelines protocol runtime tracing)

.PHONY: test
test: lint ## Lint, then run the tests
	$(BIN)/python -m pytest $(PARALLEL) -m "not long and not docker and not clients and not comfyui" $(ARGS)

.PHONY: test-long
test-long: $(INSTALLED_DEV) ## Run the tests that `make test` leaves out: some minutes
	$(BIN)/python -m pytest -m long $(ARGS)

.PHONY: docker-test
docker-test: $(INSTALLED_DEV) ## Build the images and run the containers, on a Docker engine of its own; needs root
	$(BIN)/python -m pytest -m docker tests/docker $(ARGS)

CLIENTS := $(VENV)/clients
CLIENT_PACKAGES := tests/clients/packages

.PHONY: clients-test
clients-test: $(INSTALLED_DEV) $(CLIENTS)/.installed ## Run the programs of docs/clients.md with the real packages; needs npm
	$(BIN)/python -m pytest -m clients tests/clients $(ARGS)

$(CLIENTS)/.installed: $(wildcard $(CLIENT_PACKAGES)/*)
	rm -rf $(CLIENTS) && mkdir -p $(CLIENTS)/node
	for packages in libraries aiperf; do \
		$(PYTHON) -m venv $(CLIENTS)/$$packages && \
		$(CLIENTS)/$$packages/bin/pip install --quiet -r $(CLIENT_PACKAGES)/$$packages.txt || exit 1; \
	done
	cp $(CLIENT_PACKAGES)/package.json $(CLIENTS)/node
	npm install --silent --no-audit --no-fund --prefix $(CLIENTS)/node
	@touch $@

.PHONY: comfy-test
comfy-test: $(INSTALLED_DEV) ## Run the nodes in the ComfyUI whose folder COMFYUI names, with COMFYUI_PYTHON
	$(BIN)/python -m pytest -m comfyui tests/integrations/comfyui $(ARGS)

.PHONY: check
check: lint ## Lint, then run the quick unit tests: about a minute
	$(BIN)/python -m pytest $(PARALLEL) -m "unit and not slow and not long and not comfyui" $(UNIT_TESTS) $(ARGS)

.PHONY: coverage
coverage: $(INSTALLED_DEV) ## Measure what the unit tests cover of the code that they run in their own process
	$(BIN)/python -m pytest $(PARALLEL) -m "unit and not comfyui" --cov --cov-report=term:skip-covered $(UNIT_TESTS) $(ARGS)

.PHONY: torture
torture: $(INSTALLED_DEV) ## Attack a server of all families for about an hour
	$(BIN)/python -m pytest tests/torture --torture $(ARGS)

.PHONY: lint
lint: $(INSTALLED_DEV) ## Check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/hadolint --config docker/hadolint.yaml docker/*.Dockerfile docker/standin/*.Dockerfile
	@if $(COMPOSE) version > /dev/null 2>&1; then \
		for files in "-f compose.yaml" "-f compose.yaml -f docker/compose.standin.yaml"; do \
			env $$($(PYTHON) docker/new_env.py | grep '^[A-Z]') \
				$(COMPOSE) $$files --profile cpu --profile gpu config --quiet || exit 1; \
		done \
	fi

PROFILE ?= cpu
COMPOSE := $(shell docker compose version > /dev/null 2>&1 && echo docker compose || echo docker-compose)

.env:
	@umask 077; $(PYTHON) docker/new_env.py > $@

.PHONY: up
up: .env ## Build the containers and start them on http://127.0.0.1:8000; PROFILE=gpu for NVIDIA GPUs
	@mkdir -p checkpoints loras
	$(COMPOSE) --profile $(PROFILE) up --detach --build $(ARGS)

.PHONY: down
down: .env ## Stop the containers; volumes with videos, jobs and models stay
	$(COMPOSE) --profile cpu --profile gpu down $(ARGS)

.PHONY: export
export: $(INSTALLED) ## Export the toy checkpoints to toy_model_repository
	@$(BIN)/python -m export $(CHECKPOINTS) --to $(TOYS)

.PHONY: engines
engines: $(INSTALLED_DEV) ## Build TensorRT engines of the toys, and of VAEs at real size, for GPUs since Ampere; needs none
	$(BIN)/python -m export $(CHECKPOINTS) --target onnx --to $(TOYS)-for-gpus
	$(BIN)/python -m export.engines $(TOYS)-for-gpus \
		$(addprefix --compute-capability ,8.0 8.9 12.0) $(ARGS)
	for layout in i2v ti2v qwen-image; do \
		$(BIN)/python -m export.tiny run/vae-$$layout/checkpoint --layout $$layout --real-vae && \
		$(BIN)/python -m export run/vae-$$layout/checkpoint --target onnx --to run/vae-$$layout/repository && \
		$(BIN)/python -m export.engines run/vae-$$layout/repository --size 1280x704 --size 1280x704x81 \
			$(addprefix --compute-capability ,8.0 8.9 12.0) $(ARGS) && rm -r run/vae-$$layout || exit 1; \
	done

.PHONY: bench
bench: $(INSTALLED_BENCH) export ## Benchmark against diffusers
	$(BIN)/python -m benchmarks $(ARGS)

GPU_CHECK := run/gpu-check

.PHONY: gpu-check
gpu-check: $(INSTALLED) ## Check an NVIDIA GPU for ten minutes: correctness, speed against diffusers, the whole server
	$(BIN)/python -m benchmarks.gpu_check prepare $(GPU_CHECK) $(ARGS)
	$(BIN)/python -m benchmarks.gpu_check run $(GPU_CHECK)

.PHONY: perf
perf: $(INSTALLED) ## Drive a server that runs with NVIDIA's perf_analyzer, over Triton's gRPC
	@$(BIN)/python -m benchmarks.perf_analyzer $(ARGS)

.PHONY: quality
quality: $(INSTALLED) export ## Ask the toy models for held-out captions and judge what they make
	$(BIN)/python -m toy.world quality $(ARGS)

.PHONY: screenshots
screenshots: $(INSTALLED_DEV) export ## Draw docs/page*.png: the page at a server of the toys; needs Debian's chromium
	$(BIN)/python -m tests.page.screenshots $(TOYS) docs

.PHONY: clean
clean: stop ## Remove the virtual environment, logs and caches; exported models stay
	rm -rf $(VENV) run bench-results .mypy_cache .ruff_cache .pytest_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c '$(SUPPORTED)' || { \
		echo "Tritonreel runs on Python 3.11 and 3.12, and $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -1)."; \
		echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Installing into $(VENV); the first time this takes some minutes."
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[toy]'
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	$(INSTALL) '.[dev]'
	@if command -v npm > /dev/null; then $(NODE_SDK); fi
	@touch $@

$(INSTALLED_BENCH): $(INSTALLED)
	$(INSTALL) '.[toy,bench]'
	@touch $@
