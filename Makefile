# The whole house from a fresh machine; `make` alone prints the targets.
RANKS ?= 2
OUT ?= runs/demo
CARGO ?= cargo

target = $(or $(CARGO_TARGET_DIR),target)
# Asked after setup has run: without cfitsio there is no FITS import.
features = $(shell jobs/setup.sh --features)

# A toolchain that is installed but not yet on the path, and an HDF5 that only a module names.
export PATH := $(PATH):$(HOME)/.cargo/bin
ifdef HDF5_DIR
export LD_LIBRARY_PATH := $(HDF5_DIR)/lib$(if $(LD_LIBRARY_PATH),:$(LD_LIBRARY_PATH))
endif

.PHONY: help setup build demo test test-python bench lint doc
.NOTPARALLEL:

help:
	@echo "make demo    simulate a small survey, process it on RANKS ranks ($(RANKS)) into OUT ($(OUT)), print the figures"
	@echo "make test    all tests, those under mpirun included"
	@echo "make test-python"
	@echo "             the report in a browser, the files in astropy and pyarrow"
	@echo "make bench   benchmarks of all crates"
	@echo "make lint    formatting and clippy, nothing forgiven"
	@echo "make doc     the manual of the parts: target/doc/fathom/index.html"
	@echo "make build   target/release/fathom"
	@echo "make setup   install what is missing (every target does)"

setup:
	@jobs/setup.sh

build: setup
	@$(CARGO) build --release $(features)

demo: build
	@jobs/launch.sh $(RANKS) $(target)/release/fathom run demo --out $(OUT) --overwrite

test: setup
	@$(CARGO) test --release --workspace $(features)

# With the binary that `make test` makes: the features of its crates are those of the tests, and another build would make them all again.
test-python: setup
	@$(CARGO) test --release --workspace --no-run $(features)
	@FATHOM=$(target)/release/fathom RANKS=$(RANKS) tests/python/run.sh

bench: setup
	@$(CARGO) bench --workspace --bench '*' $(features)

lint: setup
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --release $(features) -- -D warnings

doc: setup
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps $(features)
