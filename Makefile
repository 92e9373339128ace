# Every target works in a fresh checkout with Python 3.11 or newer, pip and make; it creates an environment in .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The distribution without PyTorch, which the project requires in its own version.
WIT_HOST := --editable ./codegen

# On machines with few cores, PyTorch's threads slow each other down.
export OMP_NUM_THREADS ?= 1
# Tests start hundreds of processes; without a cache, each of them would compile the modules of the checkout again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo classify-witx plugins guardrail serve-demo screenshot udf vad test test-slow pythons soak check bindings golden bench \
        bench-guardrail bench-peers bench-ray bench-ray-serve bench-serving zoo clean
.DELETE_ON_ERROR:

help:
	@echo "make demo           classify two photographs; builds everything that is needed"
	@echo "make classify-witx  classify them with a small core module, written in C"
	@echo "make plugins        run a plug-in on generated bindings"
	@echo "make guardrail      serve a check of texts by plug-ins of several parties, and send it requests"
	@echo "make serve-demo     serve the classifier of photographs over HTTP, and ask it with curl and Triton's client"
	@echo "make screenshot     take the picture of a server's page in the documentation, with Chromium"
	@echo "make udf            label pictures with Ray Data, by a guest that is called for each row"
	@echo "make vad            detect speech in a recording"
	@echo "make test           run the tests; those of the backend also on a simulated accelerator"
	@echo "make test-slow      run the tests that build guests as the documentation says"
	@echo "make pythons        test what needs no PyTorch on each Python from 3.11 to 3.14 that is on the path"
	@echo "make soak           run 110,000 sessions, 100,000 requests, 220,000 random calls and 6,000 interruptions, and check that nothing leaks"
	@echo "make check          check formatting, lints, types, import rules and stale bindings; changes nothing"
	@echo "make bindings       generate generated/ from wit/"
	@echo "make bench          measure the boundary, inferences, starts and witgen against named baselines"
	@echo "make bench-guardrail  compare the guardrail example with functions and processes"
	@echo "make bench-peers    compare with Wasmtime's own wasi-nn host"
	@echo "make bench-ray      label pictures with Ray Data, by a guest and by a plain class; ARGS=10000 for as many"
	@echo "make bench-ray-serve  load the server through the proxy of Ray Serve, beside the command \`serve\`"
	@echo "make bench-serving  load the HTTP server, beside an application that calls the model directly, and LitServe"
	@echo "make zoo            test networks of transformers, timm and torchvision, and write the table in docs/models.md"
	@echo "make golden         rewrite the golden files of the tests; review the diff afterwards"
	@echo "make clean          remove all build results and the environment"

# --- environments: a stamp file for each set of packages ---

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run: pyproject.toml codegen/pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing the packages (once; PyTorch is large)"
	@$(PIP) install --constraint constraints.txt $(WIT_HOST) --editable .
	@touch $@

$(VENV)/demo: examples/classify/requirements.txt $(VENV)/run
	@$(PIP) install --constraint constraints.txt $(WIT_HOST) --editable '.[demo]'
	@$(PIP) install --no-deps --requirement $<
	@touch $@

$(VENV)/dev: $(VENV)/demo
	@$(PIP) install --constraint constraints.txt $(WIT_HOST) --editable '.[dev]'
	@touch $@

# --- the demo ---

CLASSIFY    := examples/classify
DEMO        := build/classify
WASI_NN_WIT := wit/2024-10-28
PHOTOS      := $(DEMO)/photos/chelsea.ppm $(DEMO)/photos/coffee.ppm
GUEST_FILES := $(wildcard $(CLASSIFY)/guest/*.py $(CLASSIFY)/guest/wit/*.wit $(CLASSIFY)/guest/wit/deps/*.wit \
                 $(WASI_NN_WIT)/*.wit)

demo: $(DEMO)/model.pt2 $(DEMO)/guest.wasm $(DEMO)/labels/imagenet.txt $(PHOTOS)
	@$(BIN)/wasi-nn-torch run --graph classifier=$(DEMO)/model.pt2 \
	    --dir $(DEMO)/photos::photos --dir $(DEMO)/labels::labels \
	    $(DEMO)/guest.wasm photos/chelsea.ppm photos/coffee.ppm

$(DEMO)/model.pt2: $(CLASSIFY)/export_model.py $(CLASSIFY)/whole_file.py $(VENV)/demo
	@echo "exporting the model"
	@$(BIN)/python $< $@

$(DEMO)/guest.wasm: $(CLASSIFY)/build_guest.py $(CLASSIFY)/whole_file.py $(GUEST_FILES) $(VENV)/demo
	@echo "building the guest"
	@$(BIN)/python $< $@ $(WASI_NN_WIT)

$(DEMO)/photos/%.ppm: $(CLASSIFY)/write_photo.py $(CLASSIFY)/whole_file.py $(VENV)/demo
	@$(BIN)/python $< $* $@

$(DEMO)/labels/imagenet.txt: $(CLASSIFY)/write_labels.py $(CLASSIFY)/whole_file.py $(VENV)/demo
	@$(BIN)/python $< $@

# --- the demo as a core module ---

WITX := examples/classify_witx
# The header that `wasi-nn-torch new --language c` gives to every guest in C.
NN_H := backend/wasi_nn_torch/cli/new/templates/c/command/wasi_ephemeral_nn.h
C    := build/c
# What it gives to every pipeline in C.
PIPELINE_C := backend/wasi_nn_torch/cli/new/templates/c/pipeline

$(C)/ready: $(WITX)/requirements.txt
	@echo "installing a C compiler for WebAssembly"
	@$(PYTHON) -m venv $(C)
	@$(C)/bin/python -m pip --disable-pip-version-check --quiet install --requirement $<
	@touch $@

build/classify_witx/guest.wasm: $(wildcard $(WITX)/guest/*) $(NN_H) $(C)/ready
	@echo "building the guest in C"
	@mkdir -p $(@D)
	@ZIG_GLOBAL_CACHE_DIR=$(abspath $(C)/cache) ZIG_LOCAL_CACHE_DIR=$(abspath $(C)/cache) $(C)/bin/python -m ziglang cc \
	    -target wasm32-wasi -std=c17 -Os -s -Wall -Wextra -Wpedantic -Werror -I $(dir $(NN_H)) -o $@ $(filter %.c,$^)

classify-witx: build/classify_witx/guest.wasm $(DEMO)/model.pt2 $(DEMO)/labels/imagenet.txt $(PHOTOS)
	@$(BIN)/wasi-nn-torch run --graph classifier=$(DEMO)/model.pt2 \
	    --dir $(DEMO)/photos::photos --dir $(DEMO)/labels::labels \
	    $< photos/chelsea.ppm photos/coffee.ppm

# --- a compiler for guests in JavaScript; without npm, tests of such guests are skipped ---

JS := build/js

$(JS)/ready: backend/wasi_nn_torch/cli/new/templates/js/command/package.json
	@mkdir -p $(JS)
	@if command -v npm > /dev/null; then \
	    echo "installing a JavaScript engine for WebAssembly"; \
	    sed 's/@name@/guest/' $< > $(JS)/package.json && npm install --prefix $(JS) --no-audit --no-fund --silent && touch $@; \
	else \
	    echo "npm is missing, so tests of guests in JavaScript will be skipped"; \
	fi

# --- the plug-in example ---

CODEGEN := $(shell find codegen -name '*.py' -o -name '*.jinja' -o -name '*.lark')
PLUGINS := examples/plugins
PLUGIN  := build/plugins

$(PLUGIN)/plugin.wasm: $(wildcard $(PLUGINS)/wit/*.wit $(PLUGINS)/guest/*.py) $(VENV)/demo
	@echo "building the plug-in"
	@mkdir -p $(@D)
	@$(BIN)/componentize-py --quiet --wit-path $(PLUGINS)/wit --world plugin \
	    componentize app --python-path $(PLUGINS)/guest --output $@

$(PLUGIN)/plugin_bindings/__init__.py: $(wildcard $(PLUGINS)/wit/*.wit) $(CODEGEN) $(VENV)/dev
	@$(BIN)/witgen generate $(PLUGINS)/wit --out $(PLUGIN) --package plugin_bindings
	@touch $@

plugins: $(PLUGIN)/plugin.wasm $(PLUGIN)/plugin_bindings/__init__.py
	@PYTHONPATH=$(PLUGIN) $(BIN)/python $(PLUGINS)/host.py $(PLUGIN)/plugin.wasm

# --- the guardrail example: a service with plug-ins of several parties ---

GUARDRAIL := examples/guardrail
RAIL      := build/guardrail
RAIL_WIT  := $(wildcard $(GUARDRAIL)/wit/*.wit $(WASI_NN_WIT)/*.wit)
RAIL_C    := contacts classify judge
RUNTIME_C := $(GUARDRAIL)/plugins/plugin.c $(GUARDRAIL)/plugins/plugin.h
BUILD_C   := $(BIN)/python $(GUARDRAIL)/build_c.py
RAIL_ALL  := $(RAIL_C:%=$(RAIL)/%.wasm) $(RAIL)/sentences.wasm $(RAIL)/hostile.wasm $(RAIL)/safety.pt2 \
               $(RAIL)/guardrail_bindings/__init__.py

$(RAIL_C:%=$(RAIL)/%.wasm): $(RAIL)/%.wasm: $(GUARDRAIL)/plugins/%.c $(RUNTIME_C) $(GUARDRAIL)/build_c.py $(RAIL_WIT) $(C)/ready $(VENV)/dev
	@echo "building the plug-in $*, in C"
	@$(BUILD_C) $@ $(filter %.c,$^) --zig $(C)/bin/python --wit $(GUARDRAIL)/wit $(WASI_NN_WIT)

$(RAIL)/hostile.wasm: $(GUARDRAIL)/hostile/hostile.c $(RUNTIME_C) $(GUARDRAIL)/build_c.py $(RAIL_WIT) \
                      $(wildcard $(GUARDRAIL)/hostile/wit/*.wit $(GUARDRAIL)/hostile/wit/deps/*.wit) $(C)/ready $(VENV)/dev
	@echo "building the hostile plug-in, in C"
	@$(BUILD_C) $@ $(filter %.c,$^) --zig $(C)/bin/python --world hostile \
	    --wit $(GUARDRAIL)/hostile/wit $(GUARDRAIL)/wit $(WASI_NN_WIT)

$(RAIL)/sentences.wasm: $(wildcard $(GUARDRAIL)/plugins/sentences/*.py) $(RAIL_WIT) $(VENV)/dev
	@echo "building the plug-in sentences, in Python"
	@mkdir -p $(@D)
	@$(BIN)/componentize-py --quiet --wit-path $(WASI_NN_WIT) --wit-path $(GUARDRAIL)/wit \
	    --world example:guardrail/plug-in componentize app --python-path $(GUARDRAIL)/plugins/sentences --output $@

$(RAIL)/safety.pt2: $(GUARDRAIL)/train.py $(GUARDRAIL)/sentences.py $(VENV)/dev
	@echo "training the models"
	@$(BIN)/python $< $(@D)

$(RAIL)/guardrail_bindings/__init__.py: $(RAIL_WIT) $(CODEGEN) $(VENV)/dev
	@$(BIN)/witgen generate $(GUARDRAIL)/wit $(WASI_NN_WIT) --out $(RAIL) --package guardrail_bindings \
	    --with 'wasi:nn/*=wasi_nn_bindings.v2024_10_28'
	@touch $@

guardrail: $(RAIL_ALL)
	@PYTHONPATH=$(GUARDRAIL):$(RAIL) $(BIN)/python $(GUARDRAIL)/demo.py $(GUARDRAIL)/guardrail.toml

# --- the example of a server: the classifier as a pipeline ---

SERVE        := examples/serve
STB          := build/serve/stb
PIPELINE     := build/serve/pipeline.wasm
PIPELINE_WIT := $(WASI_NN_WIT) wit/pipeline
SERVE_PHOTOS := build/serve/photos/chelsea.jpg build/serve/photos/coffee.jpg

$(STB)/ready: $(SERVE)/requirements.txt | $(VENV)/run
	@echo "downloading a decoder for JPEG"
	@rm -rf $(STB)
	@$(PIP) download --no-deps --no-binary :all: --dest $(STB) --requirement $<
	@tar -xzf $(STB)/*.tar.gz -C $(STB) --strip-components 1
	@touch $@

build/serve/labels.h: $(SERVE)/write_labels.py $(DEMO)/labels/imagenet.txt
	@mkdir -p $(@D)
	@$(BIN)/python $^ $@

# The decoder needs headers of the C library. `-isystem` keeps it free of the warnings for our own code.
$(PIPELINE): $(wildcard $(SERVE)/pipeline/*.[ch] $(PIPELINE_C)/pipeline.[ch] $(PIPELINE_WIT:%=%/*.wit)) \
             build/serve/labels.h $(STB)/ready $(GUARDRAIL)/build_c.py $(C)/ready $(VENV)/dev
	@echo "building the pipeline for photographs, in C"
	@$(BUILD_C) $@ $(filter %.c,$^) --zig $(C)/bin/python --include $(PIPELINE_C) build/serve --world pipeline \
	    --wit wit/pipeline $(WASI_NN_WIT) \
	    --flag=-isystem$(STB)/src/third_party/stb --flag=--target=wasm32-wasi --flag=-mexec-model=reactor --flag=-lc

build/serve/photos/%.jpg: $(CLASSIFY)/write_photo.py $(CLASSIFY)/whole_file.py $(VENV)/demo
	@$(BIN)/python $< $* $@

serve-demo: $(PIPELINE) $(DEMO)/model.pt2 $(SERVE_PHOTOS) $(VENV)/dev
	@$(BIN)/python $(SERVE)/demo.py $(SERVE_PHOTOS)

# It needs Chromium.
screenshot: $(PIPELINE) $(DEMO)/model.pt2 $(SERVE_PHOTOS) $(VENV)/dev
	@$(BIN)/python -m tests.examples.serve_screenshot docs/images/serve.png

# --- the example of a function on a dataset ---

UDF          := examples/udf
UDF_GUEST    := build/udf/guest.wasm
UDF_PICTURES := build/udf/pictures

$(UDF_GUEST): $(UDF)/build_guest.py $(wildcard $(UDF)/guest/*.c) $(wildcard $(PIPELINE_C)/pipeline.*) \
              $(wildcard $(PIPELINE_WIT:%=%/*.wit)) $(DEMO)/labels/imagenet.txt $(C)/ready $(VENV)/demo $(VENV)/dev
	@echo "building the guest, in C"
	@$(BIN)/python $< $@ $(DEMO)/labels/imagenet.txt --zig $(C)/bin/python --wit wit/pipeline $(WASI_NN_WIT)

$(UDF_PICTURES)/00199.ppm: $(UDF)/make_pictures.py $(PHOTOS) $(VENV)/demo
	@$(BIN)/python $< $(UDF_PICTURES) 200 $(PHOTOS)

udf: $(UDF_GUEST) $(UDF_PICTURES)/00199.ppm $(DEMO)/model.pt2 $(VENV)/dev
	@$(BIN)/python $(UDF)/label.py $(UDF_PICTURES) build/udf/labels $(UDF_GUEST) $(DEMO)/model.pt2

# --- the speech detection example ---

VAD       := examples/vad
SPEECH    := build/vad
VAD_FILES := $(wildcard $(VAD)/guest/*.py $(VAD)/guest/wit/*.wit $(VAD)/guest/wit/deps/*.wit $(WASI_NN_WIT)/*.wit)

vad: $(SPEECH)/guest.wasm $(SPEECH)/fetched
	@$(BIN)/wasi-nn-torch run --graph vad=$(SPEECH)/model.pt --dir $(SPEECH)/recordings::recordings \
	    $(SPEECH)/guest.wasm recordings/speech.wav

$(SPEECH)/fetched: $(VAD)/fetch_silero.py $(VAD)/requirements.txt | $(VENV)/run
	@echo "downloading silero-vad"
	@$(BIN)/python $< $(SPEECH)
	@touch $@

$(SPEECH)/guest.wasm: $(VAD_FILES) $(VENV)/demo
	@echo "building the guest that detects speech"
	@mkdir -p $(@D)
	@$(BIN)/componentize-py --quiet --wit-path $(WASI_NN_WIT) --wit-path $(VAD)/guest/wit --world example:vad/vad \
	    componentize app --python-path $(VAD)/guest --output $@

# --- the guest of the tests ---

PROBE := build/tests/probe.wasm

$(PROBE): tests/guests/probe/app.py $(wildcard $(CLASSIFY)/guest/wit/*.wit $(WASI_NN_WIT)/*.wit) $(VENV)/dev
	@echo "building the guest of the tests"
	@mkdir -p $(@D)
	@$(BIN)/componentize-py --quiet --wit-path $(WASI_NN_WIT) --wit-path $(CLASSIFY)/guest/wit \
	    --world example:classify/classify componentize app --python-path tests/guests/probe --output $@

# --- guests of the tests that answer requests of HTTP, and commands, in several languages ---

GUESTS   := build/tests
BUILDING := $(BIN)/python -m tests.guests.building
BUILDERS := tests/guests/building.py tests/guests/tools.py $(wildcard wit/wasi/*.wit wit/wasi/deps/*.wit)
WASI_WIT := wit/wasi/deps
HTTP_ALL := $(GUESTS)/http_python.wasm $(GUESTS)/http_c.wasm $(GUESTS)/http_js.wasm \
            $(GUESTS)/command_c.wasm $(GUESTS)/command_rust.wasm $(GUESTS)/command_js.wasm $(GUESTS)/ask_c.wasm

$(GUESTS)/http_python.wasm: tests/guests/http_python/app.py $(wildcard tests/guests/http_python/wit/*.wit $(WASI_NN_WIT)/*.wit) \
                            $(wildcard wit/wasi/*.wit wit/wasi/deps/*.wit) $(VENV)/dev
	@echo "building a guest that answers requests, in Python"
	@mkdir -p $(@D)
	@$(BIN)/componentize-py --quiet --wit-path wit/wasi --wit-path $(WASI_NN_WIT) --wit-path tests/guests/http_python/wit \
	    --world test:http/answering componentize app --python-path tests/guests/http_python --output $@

$(GUESTS)/http_c.wasm: tests/guests/http_c/proxy.c tests/guests/http_c/wasi_http.h tests/guests/http_c/wit/world.wit $(BUILDERS) $(C)/ready $(VENV)/dev
	@echo "building a guest that answers requests, in C"
	@$(BUILDING) c $@ $< --world proxy --wit tests/guests/http_c/wit $(WASI_WIT)

$(GUESTS)/http_js.wasm: tests/guests/http_js/app.js tests/guests/http_js/wit/world.wit $(BUILDERS) $(JS)/ready $(VENV)/dev
	@if test -f $(JS)/ready; then \
	    echo "building a guest that answers requests, in JavaScript"; \
	    $(BUILDING) js $@ $< --world answering --wit tests/guests/http_js/wit $(WASI_WIT) $(WASI_NN_WIT); \
	fi

$(GUESTS)/command_c.wasm: tests/guests/commands/command.c $(BUILDERS) $(C)/ready $(JS)/ready $(VENV)/dev
	@if test -f $(JS)/ready; then echo "building a command in C"; $(BUILDING) c-command $@ $<; fi

$(GUESTS)/ask_c.wasm: tests/guests/commands/ask.c tests/guests/http_c/wasi_http.h tests/guests/commands/asking/world.wit \
                      $(BUILDERS) $(C)/ready $(JS)/ready $(VENV)/dev
	@if test -f $(JS)/ready; then \
	    echo "building a command that asks a server, in C"; \
	    $(BUILDING) c-command $@ $< --world asking --wit tests/guests/commands/asking $(WASI_WIT); \
	fi

$(GUESTS)/command_rust.wasm: tests/guests/commands/command.rs $(BUILDERS) $(JS)/ready $(VENV)/dev
	@if test -f $(JS)/ready; then \
	    echo "building a command in Rust"; \
	    $(BUILDING) rust-command $@ $< || echo "so tests of guests in Rust will be skipped"; \
	fi

$(GUESTS)/command_js.wasm: tests/guests/commands/command.js tests/guests/commands/wit/world.wit $(BUILDERS) $(JS)/ready $(VENV)/dev
	@if test -f $(JS)/ready; then \
	    echo "building a command in JavaScript"; \
	    $(BUILDING) js $@ $< --world command --wit tests/guests/commands/wit $(WASI_WIT) --disable http fetch-event; \
	fi

# A pipeline that does what it must not do.
EVIL       := build/tests/evil.wasm

$(EVIL): $(wildcard tests/guests/evil/*.c tests/guests/evil/wit/*.wit $(PIPELINE_C)/pipeline.*) $(GUARDRAIL)/build_c.py \
         $(C)/ready $(VENV)/dev
	@echo "building the evil guest of the tests, in C"
	@$(BUILD_C) $@ $(filter %.c,$^) --zig $(C)/bin/python --include $(PIPELINE_C) --world evil \
	    --wit tests/guests/evil/wit wit/pipeline $(WASI_NN_WIT) $(GUARDRAIL)/hostile/wit/deps

# --- development ---

# All tests of a file run in one process; three of them keep two processors busy, since some tests wait.
SIDE_BY_SIDE ?= -n 3 --dist loadfile --no-loadscope-reorder

TESTED := $(VENV)/dev $(PROBE) $(SPEECH)/guest.wasm $(SPEECH)/fetched $(DEMO)/model.pt2 $(DEMO)/guest.wasm $(DEMO)/labels/imagenet.txt $(PHOTOS) \
      build/classify_witx/guest.wasm $(PLUGIN)/plugin.wasm $(PLUGIN)/plugin_bindings/__init__.py $(JS)/ready $(RAIL_ALL) $(PIPELINE) $(HTTP_ALL) \
      $(SERVE_PHOTOS) $(UDF_GUEST) $(EVIL) build/serving/resize.wasm

test: $(TESTED)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)
ifndef ARGS
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --device=simulated tests/wasi_nn_torch tests/simulated
endif

test-slow: $(TESTED)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m slow $(ARGS)

PYTHONS    := 3.11 3.12 3.13 3.14
NO_PYTORCH := tests/witgen tests/wit_host tests/bindings tests/wasi_host

pythons: $(PYTHONS:%=python-%)

python-%: $(PROBE) $(HTTP_ALL)
	@if python$* --version > /dev/null 2>&1; then $(MAKE) --no-print-directory build/pythons/$*/tested; \
	else echo "Python $* is not tested: there is no python$* that runs"; fi

build/pythons/%/tested: build/pythons/%/ready
	$(@D)/bin/python -m pytest $(SIDE_BY_SIDE) $(NO_PYTORCH) $(ARGS)

build/pythons/%/ready: codegen/pyproject.toml constraints.txt
	@echo "installing the distribution without PyTorch for Python $*"
	@python$* -m venv $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt \
	    --editable './codegen[dev]'
	@touch $@

soak: $(VENV)/dev $(PROBE)
	SOAK_SESSIONS=10000 $(BIN)/python -m pytest -s --device=simulated tests/wasi_nn_torch/sessions/test_soak.py
	SOAK_REQUESTS=100000 $(BIN)/python -m pytest -s --device=simulated tests/wasi_nn_torch/http/test_soak.py
	SOAK_CALLS=100000 $(BIN)/python -m pytest -s --device=simulated tests/wasi_nn_torch/hosts/test_witx_random.py \
	    tests/wasi_nn_torch/hosts/test_versions_random.py
	SOAK_FUZZ=100000 $(BIN)/python -m pytest -s tests/wasi_nn_torch/sessions/test_isolation_fuzz.py
	SOAK_FILES=600 $(BIN)/python -m pytest -q tests/wasi_host/test_files_random.py
	SOAK_ROUNDS=3000 $(BIN)/python -m pytest -s tests/wit_host/test_exceptions.py -k from_another_thread

check: $(VENV)/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.14 -p witgen -p wit_host -p wasi_host -p wasi_bindings -p wasi_http_bindings
	$(BIN)/lint-imports
	$(BIN)/witgen check

bindings: $(VENV)/dev
	$(BIN)/witgen generate

bench-guardrail: $(RAIL_ALL)
	@$(BIN)/python -m benchmarks.bench_guardrail $(ARGS)

bench: $(VENV)/dev $(DEMO)/guest.wasm $(SPEECH)/fetched $(PLUGIN)/plugin.wasm $(PLUGIN)/plugin_bindings/__init__.py
	@$(BIN)/python -m pytest --quiet --benchmark-quiet benchmarks/bench_*.py
	@$(BIN)/python -m benchmarks.bench_witgen

# --- the server beside others; `make bench-serving ARGS=--write` rewrites the table and the plot in the documentation ---

RESIZE     := benchmarks/serving/resize/resize.c
LITSERVE   := build/litserve

build/serving/resize.wasm: $(RESIZE) $(wildcard $(PIPELINE_C)/*.[ch] $(PIPELINE_WIT:%=%/*.wit)) $(GUARDRAIL)/build_c.py \
                           $(C)/ready $(VENV)/dev
	@echo "building the pipeline that resizes pictures, in C"
	@$(BUILD_C) $@ $(RESIZE) $(PIPELINE_C)/pipeline.c --zig $(C)/bin/python --include $(PIPELINE_C) --world pipeline \
	    --wit wit/pipeline $(WASI_NN_WIT) --flag=-msimd128 --flag=-O3

$(LITSERVE)/ready: benchmarks/serving/peers.txt $(VENV)/dev
	@echo "installing the server to compare with"
	@$(PIP) install --no-deps --upgrade --target $(LITSERVE) --requirement $<
	@touch $@

bench-serving: $(VENV)/dev build/serving/resize.wasm $(LITSERVE)/ready $(DEMO)/model.pt2
	@$(BIN)/python -m benchmarks.serving $(ARGS)

bench-ray-serve: $(VENV)/dev
	@$(BIN)/python -m benchmarks.ray_serving

bench-ray: $(VENV)/dev $(UDF_GUEST) $(DEMO)/model.pt2 $(PHOTOS)
	@$(BIN)/python -m benchmarks.bench_ray $(ARGS)

PEERS := build/peers

$(PEERS)/ready: benchmarks/peers.txt
	@echo "installing the host to compare with"
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install --requirement $<
	@touch $@

bench-peers: $(VENV)/dev $(PEERS)/ready
	@$(BIN)/python -m benchmarks.peers

# --- tested networks ---

ZOO := build/zoo

$(ZOO)/ready: benchmarks/zoo/requirements.txt pyproject.toml codegen/pyproject.toml
	@echo "installing the packages of the networks (once; they are large)"
	@$(PYTHON) -m venv $(ZOO)
	@$(ZOO)/bin/python -m pip --disable-pip-version-check --quiet install --requirement $< $(WIT_HOST) --editable .
	@touch $@

$(ZOO)/guest.wasm: benchmarks/zoo/guest/app.py $(wildcard $(CLASSIFY)/guest/wit/*.wit $(WASI_NN_WIT)/*.wit) $(VENV)/demo
	@echo "building the guest that computes every network"
	@mkdir -p $(@D)
	@$(BIN)/componentize-py --quiet --wit-path $(WASI_NN_WIT) --wit-path $(CLASSIFY)/guest/wit \
	    --world example:classify/classify componentize app --python-path benchmarks/zoo/guest --output $@

zoo: $(ZOO)/ready $(ZOO)/guest.wasm
	@$(ZOO)/bin/python -m benchmarks.zoo.page
	@$(ZOO)/bin/python -m benchmarks.zoo $(ZOO)/guest.wasm $(ARGS)

golden: $(VENV)/dev
	$(BIN)/python -m pytest -q --golden=write tests/witgen

clean:
	rm -rf build $(VENV)
