# What can be done here. `make` alone prints this list.

TARGET = $(shell rustc -vV | sed -n 's/^host: //p')
STATIC = packaging/static $(TARGET) --quiet
PROGRAM = target/$(TARGET)/release/runc-strict
# The suites are built for a short build and not for speed.
SUITES = target/$(TARGET)/suites
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n1)
VM = integration/vm
MATRIX_NEEDS = runc=runc crun=crun busybox=busybox-static containerd=containerd protoc=protobuf-compiler
CARRIED = --in $(PROGRAM) --in $(SUITES)/suites --in $(SUITES)/probe --in $(SUITES)/cri-suites

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

build: need-build ## build the static program
	$(STATIC) --release -p runc-strict
	@ls -l $(PROGRAM)

dist: need-build ## leave the program, a deb and an rpm in dist/
	@integration/need dpkg-deb=dpkg rpmbuild=rpm jq=jq
	@packaging/dist $(TARGET)

demo: need-build ## show in a minute what it does, on real containers
	@integration/need runc=runc busybox=busybox-static
	@$(STATIC) --release -p runc-strict
	@integration/demo $(PROGRAM)

test: test-units test-root ## run everything that can run here
	@echo "make test: all of it passed"

test-units: need-build ## the tests that need no root
	cargo test --locked -p runc-strict
	@$(STATIC) --release -p runc-strict
	RUNC_STRICT_PROGRAM=$(CURDIR)/$(PROGRAM) cargo test --locked -p runc-strict --test blackbox

test-root: need-build ## the suites that need root, real runtimes and engines
	@integration/run $(TARGET)

fuzz: need-build ## fuzz what is read from others, SECONDS=60 for each target
	@integration/fuzz/run $(or $(SECONDS),60)

package-test: need-build ## install, upgrade, remove and check the packages, and build them twice
	@integration/packages/need
	@$(STATIC) --release -p runc-strict
	@integration/packages/run $(TARGET) $(PROGRAM)

counts-accept: need-build ## accept the counts of instructions as they are now
	@integration/need valgrind=valgrind
	@$(STATIC) --release -p runc-strict
	@integration/counts/run $(PROGRAM) --accept

lint: need-build ## formatting, lints, documentation, licences
	@integration/need g++=g++
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps -p runc-strict
	.ci/licences

mutants: need-build ## change policy and spec in every place, and see that a test notices
	@integration/mutants/run

bench: need-build ## measure, side by side with what it stands in front of, and write docs/performance.md
	@integration/need strace=strace musl-gcc=musl-tools runc=runc crun=crun podman=podman
	$(STATIC) --release -p runc-strict -p runc-strict-bench
	@target/$(TARGET)/release/bench $(PROGRAM) --write docs/performance.md

vm-test: need-build ## run the suites in a machine with systemd and pure cgroup v2
	@integration/run $(TARGET) machine

image: need-build ## build the container image, an OCI archive in dist
	@integration/need jq=jq
	@$(STATIC) --release -p runc-strict
	@packaging/image/build $(PROGRAM) $(VERSION) dist/runc-strict-image.tar

matrix: need-build ## write docs/attack-matrix.md anew
	@integration/need $(MATRIX_NEEDS)
	$(STATIC) --release -p runc-strict
	$(STATIC) --profile suites -p runc-strict-integration -p runc-strict-cri
	@$(SUITES)/cri-suites run doors levels --product $(PROGRAM) --table docs/attack-matrix.md

matrix-youki: need-build ## write docs/attack-matrix-youki.md anew, on a youki built from its crate
	@integration/need $(MATRIX_NEEDS)
	$(STATIC) --release -p runc-strict
	$(STATIC) --profile suites -p runc-strict-integration -p runc-strict-cri
	@integration/youki $(SUITES)/cri-suites $(PROGRAM) docs/attack-matrix-youki.md

vm-shell: need-build ## open a console in that machine
	@integration/need protoc=protobuf-compiler
	@$(VM)/need
	$(STATIC) --release -p runc-strict
	$(STATIC) --profile suites -p runc-strict-integration -p runc-strict-cri
	@$(VM)/shell $(CARRIED)

vm-selftest: need-build ## test the machine's own commands
	@$(VM)/need
	$(STATIC) --profile suites -p runc-strict-integration -p runc-strict-cri
	@$(VM)/selftest $(SUITES)

need-build:
	@integration/need rust=rust

.PHONY: help build demo test test-units test-root vm-test matrix matrix-youki vm-shell vm-selftest lint bench counts-accept need-build image dist package-test mutants fuzz
