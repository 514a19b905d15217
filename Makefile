# What a newcomer needs: `make demo` shows the program at work, `make test` checks everything.
# Both work on a bare Debian or Ubuntu with rustup's cargo, cc and make; OpenBLAS, and for the tests a C++ compiler, is
# installed where it is missing.

CARGO ?= cargo
DEMO := fixtures/checkpoints/demo.safetensors
# The layers of the sample report, which is to stay small.
SAMPLE := --include 'layer4.*'

# Runs of each target of fuzz/.
RUNS ?= 1000000

.PHONY: all demo test bench fuzz torture wheel binary wheel-check test-python gpu-bundle gpu-check slurm-check bless sample kernels install openblas cxx

all: openblas
	$(CARGO) build --release

demo: openblas
	@mkdir -p target
	$(CARGO) run --quiet --profile quick -- merge $(DEMO) target/demo.safetensors --tau 0.9 --force --report target/demo

test: openblas cxx
	@echo "Checking the format"
	$(CARGO) fmt --check
	@echo "Looking for mistakes (clippy)"
	$(CARGO) clippy --all-targets -- -D warnings
	@echo "Building and running the tests"
	INMERGE_REQUIRE_CXX=1 $(CARGO) test
	@echo "Checking the documentation"
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps

# Times the program beside its peers (benches/README.md). More: make bench BENCH="--only resnet50 --rounds 9", BENCH=--scaling
bench: openblas
	$(CARGO) bench --bench whole -- $(BENCH)

# Fuzzes every parser, or FUZZ="header plan"; RUNS= how often (needs nightly Rust and `cargo install cargo-fuzz`). What it finds
# is in fuzz/artifacts.
fuzz: openblas
	@for target in $(or $(FUZZ),$(patsubst fuzz/fuzz_targets/%.rs,%,$(wildcard fuzz/fuzz_targets/*.rs))); do \
		$(CARGO) +nightly fuzz run -s none $$target -- -runs=$(RUNS) -max_len=4096 -timeout=60 || exit; \
	done

# Checks the program on this machine's NVIDIA GPU and times it there, within ten minutes (benches/README.md). Parts of it:
# make gpu-check GPU="tests times"
gpu-check: gpu-bundle
	tests/gpu/check.sh $(GPU)

# What the check needs, which then takes no cargo: also as target/gpu-check.tar.gz, all that another machine with a GPU needs.
gpu-bundle: openblas
	CARGO="$(CARGO)" tests/gpu/bundle.sh

# Runs examples/slurm on a real Slurm, installed where it is missing (Debian's packages, root), started and stopped again.
slurm-check: all
	@if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	$$sudo tests/slurm/check.sh "$${CARGO_TARGET_DIR:-target}/release/inmerge-ckpt"

# Runs every command that writes under a tracer that has each of its system calls fail, be interrupted, cut short, or be its
# last, and looks whether anything is lost (tests/torture). A part of it: make torture INMERGE_TORTURE=sharded-in-place/nfs/kill
torture: openblas
	INMERGE_TORTURE="$(INMERGE_TORTURE)" $(CARGO) test --release --test torture -- --ignored --nocapture everything

# A wheel for pip that runs on any Linux with glibc 2.17 (x86-64), with OpenBLAS in it, and the same program as a tarball: into
# target/wheels (needs python3; zig and maturin are fetched from PyPI, a static OpenBLAS from Debian).
wheel binary:
	CARGO="$(CARGO)" python/build.sh

# Installs the wheel into a fresh environment, and tests the package and the program there.
wheel-check: wheel cxx
	CARGO="$(CARGO)" python/check.sh

# Tests the Python package, the quickstarts and the examples with PyTorch and the trainers, which are fetched from PyPI (8 GB) into
# target/python-tests.
test-python: openblas
	CARGO="$(CARGO)" python/test.sh

# Makes the fixtures and the expected results anew, by the independent numpy computation (needs python3 and numpy).
bless:
	python3 fixtures/make.py

# Makes the sample report anew.
sample: all
	$(CARGO) run --release --quiet -- analyze $(DEMO) --report reports/sample $(SAMPLE)

# Compiles the CUDA kernels anew (needs python3 with pip, which fetches NVIDIA's compiler into target/; no GPU).
kernels:
	python3 kernels/build.py

install: openblas
	$(CARGO) install --path . --locked

# Building takes no OpenBLAS, running does. Loading is the test, by the names that src/blas/library.rs tries.
openblas:
	@mkdir -p target; \
	echo 'void *dlopen(const char *, int); int main(int n, char **name) { while (--n) if (dlopen(name[n], 1)) return 0; return 1; }' | \
		cc -x c - -o target/can-load -ldl; \
	if target/can-load libopenblas.so.0 libopenblasp.so.0 libopenblaso.so.0 libopenblas.so.3 libopenblas.so libopenblas.dylib \
		$${CONDA_PREFIX:+"$$CONDA_PREFIX/lib/libopenblas.so.0"}; then :; \
	elif command -v brew >/dev/null && brew --prefix openblas >/dev/null 2>&1; then :; \
	elif command -v apt-get >/dev/null; then \
		echo "OpenBLAS is missing: installing libopenblas0"; \
		if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
		$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends libopenblas0 >/dev/null; \
	else \
		echo "OpenBLAS is missing. Install it first: openblas-devel (Fedora, RHEL: dnf), openblas-devel (openSUSE: zypper)," \
			"openblas (Arch: pacman; Alpine: apk; macOS: brew)." >&2; \
		exit 1; \
	fi

# The tests run the CUDA kernels on the processor (tests/fake_cuda). Compiling is the test.
cxx:
	@if echo '#include <cmath>' | c++ -x c++ -std=c++17 -c - -o /dev/null 2>/dev/null; then :; \
	elif command -v apt-get >/dev/null; then \
		echo "A C++ compiler is missing: installing g++"; \
		if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
		$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends g++ >/dev/null; \
	else \
		echo "A C++ compiler is missing. Install it first: gcc-c++ (Fedora, RHEL: dnf; openSUSE: zypper), gcc (Arch: pacman)," \
			"g++ (Alpine: apk), the command line tools (macOS: xcode-select --install)." >&2; \
		exit 1; \
	fi
