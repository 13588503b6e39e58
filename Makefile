# What can be done here. `make` alone prints this list.

TARGET = $(shell rustc -vV | sed -n 's/^host: //p')
RELEASE = target/$(TARGET)/release
PROGRAM = $(RELEASE)/runc-strict
# One static file: it is called in places where no library can be relied on.
STATIC = RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --release --target $(TARGET)

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

build: need-build ## build the static program
	$(STATIC) -p runc-strict
	@ls -l $(PROGRAM)

demo: need-build ## show in a minute what it does, on real containers
	@integration/need runc=runc busybox=busybox-static
	@$(STATIC) --quiet -p runc-strict
	@integration/demo $(PROGRAM)

test: test-units test-root ## run everything that can run here
	@echo "make test: all of it passed"

test-units: need-build ## the tests that need no root
	cargo test --locked -p runc-strict

test-root: need-build ## the suites that need root, real runtimes and engines
	@integration/run $(RELEASE)

lint: need-build ## formatting, lints, documentation, licences
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps -p runc-strict
	.ci/licences

bench: need-build ## measure, side by side with bare runtimes
	@integration/need runc=runc crun=crun busybox=busybox-static strace=strace
	@$(STATIC) --quiet -p runc-strict
	@integration/bench/run $(PROGRAM)

need-build:
	@integration/need rust=rust

.PHONY: help build demo test test-units test-root lint bench need-build
