# The commands of README.md; CMake does the work. Build folders: build (Release), build-test, build-sanitize (fuzz targets too),
# build-tsan. `make test` and `make demo` install the packages they miss (scripts/install_dependencies.sh).
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 20
QUESTION ?= What is the capital of France, and what is it known for?
CCACHE := $(if $(or $(HOME),$(CCACHE_DIR)),$(if $(shell command -v ccache),-DCMAKE_C_COMPILER_LAUNCHER=ccache))
CONFIGURE = cmake -S . -G Ninja $(CCACHE) -B
DEVELOP = -DTN_TESTS=ON -DTN_WERROR=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo

.PHONY: all demo check check-models check-vocabularies check-gpu bench-gpu check-templates test test-serve test-sanitize fuzz-smoke lint format bench install clean
all: build/build.ninja
	@ninja -C build

demo:
	@scripts/install_dependencies.sh build
	@$(MAKE) --no-print-directory all
	@model=$$(scripts/fetch_model.sh) && echo "> $(QUESTION)" && build/bin/tenon run "$$model" "$(QUESTION)" </dev/null

# Unit tests only, after an incremental build
check: build-test/build.ninja
	@ninja -C build-test unit_tests
	@scripts/run_tests.py build-test -L unit

# Developers only: random configurations of every family against transformers (PyPI, with torch); SEEDS=N: so many of each
SEEDS ?= 5
check-models: build-test/build.ninja
	@ninja -C build-test tenon python
	@scripts/make_venv.sh build-test/models-venv scripts/golden/requirements.txt
	@PYTHONPATH=build-test/python build-test/models-venv/bin/python scripts/golden/compare_models.py --tenon build-test/bin/tenon --count $(SEEDS)

# Developers only: vocabulary files and small tokenizers against the libraries that they come from (PyPI: tokenizers,
# sentencepiece, protobuf), which are not needed otherwise
check-vocabularies: all
	@scripts/check_vocabularies
	@scripts/golden/tokenizer_parts.py --check

test:
	@scripts/install_dependencies.sh build test
	@$(MAKE) --no-print-directory build-test/build.ninja
	@ninja -C build-test
	@scripts/fetch_model.sh >/dev/null || echo "tenon: the tests that need the model are skipped"
	@TN_TEST_NAMES=build-test/tests.txt scripts/run_tests.py build-test -LE serve
	@scripts/check_docs_table.py build-test/tests.txt
	@scripts/models_table.py build-test/tests.txt

# The server as its clients meet it: OpenAI's client, lm-eval, curl, promtool, the page in Chromium
test-serve:
	@scripts/install_dependencies.sh build test serve
	@$(MAKE) --no-print-directory build-test/build.ninja
	@ninja -C build-test serve_tests
	@scripts/fetch_model.sh >/dev/null || echo "tenon: the tests that need the model are skipped"
	@scripts/make_venv.sh build-test/serve-venv tests/serve/requirements.txt || echo "tenon: the tests that need the clients are skipped"
	@scripts/run_tests.py build-test -L serve

# Everything with AddressSanitizer and UndefinedBehaviorSanitizer, then what shares memory between threads with ThreadSanitizer
test-sanitize:
	@scripts/install_dependencies.sh build test sanitize
	@$(MAKE) --no-print-directory build-sanitize/build.ninja build-tsan/build.ninja
	@ninja -C build-sanitize
	@scripts/fetch_model.sh >/dev/null || echo "tenon: the tests that need the model are skipped"
	@scripts/run_tests.py build-sanitize
	@ninja -C build-tsan threaded_tests
	@scripts/run_tests.py build-tsan -L threads

# Packs build-gpu/gpu-tests.tar.gz, which a GPU machine needs alone (CONTRIBUTING.md), and runs it where there is a GPU
GPU_TESTS = tenon backend_host_test backend_device_test backend_conformance_test backend_cuda_matmul_bench e2e_golden_cuda_test e2e_executor_cuda_test \
	e2e_sampling_test e2e_smollm2_cuda_test
check-gpu: build-cuda/build.ninja
	@ninja -C build-cuda $(GPU_TESTS)
	@scripts/package_gpu_tests build-cuda $(GPU_TESTS)
	@if [ -e /dev/nvidia0 ]; then build-gpu/gpu-tests/run_gpu_tests; else echo "SKIPPED: no GPU here; carry build-gpu/gpu-tests.tar.gz to one"; fi

# The figures of docs/performance.md "On a GPU": the same package, its run_gpu_bench
bench-gpu: build-cuda/build.ninja
	@ninja -C build-cuda $(GPU_TESTS)
	@scripts/package_gpu_tests build-cuda $(GPU_TESTS)
	@if [ -e /dev/nvidia0 ]; then build-gpu/gpu-tests/run_gpu_bench "$$(scripts/fetch_model.sh)"; else echo "SKIPPED: no GPU here; carry build-gpu/gpu-tests.tar.gz to one"; fi

# Developer time: chat templates of real models, rendered by Tenon and by PyPI's jinja2; fetches both templates and jinja2
check-templates: build-test/build.ninja
	@ninja -C build-test render_templates
	@scripts/check_templates.py build-test/bin/render_templates

fuzz-smoke:
	@scripts/install_dependencies.sh build sanitize
	@$(MAKE) --no-print-directory build-sanitize/build.ninja
	@ninja -C build-sanitize fuzzers
	@scripts/fuzz_smoke.py build-sanitize $(FUZZ_SECONDS)

lint:
	@scripts/lint

format:
	@git ls-files -co --exclude-standard '*.[ch]' '*.cu' | xargs clang-format-14 -i

bench: all
	@model=$$(scripts/fetch_model.sh) && build/bin/tenon bench prefill "$$model" && build/bin/tenon bench decode "$$model"

install: all
	@cmake --install build --prefix $(PREFIX)

clean:
	rm -rf build build-*

build/build.ninja:
	@scripts/install_dependencies.sh --check build
	@$(CONFIGURE) build -DCMAKE_BUILD_TYPE=Release
build-test/build.ninja:
	@scripts/install_dependencies.sh --check build test
	@$(CONFIGURE) build-test $(DEVELOP)
build-cuda/build.ninja:
	@scripts/install_dependencies.sh --check build test
	@$(CONFIGURE) build-cuda $(DEVELOP) -DTN_CUDA_CUBINS=ON
build-sanitize/build.ninja:
	@$(CONFIGURE) build-sanitize $(DEVELOP) -DTN_FUZZ=ON -DCMAKE_C_COMPILER=clang -DTN_SANITIZE=address,undefined
build-tsan/build.ninja:
	@$(CONFIGURE) build-tsan $(DEVELOP) -DCMAKE_C_COMPILER=clang -DTN_SANITIZE=thread
