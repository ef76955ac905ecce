# Two commands do everything: `make run` and `make test`. Both install what is missing (Debian packages, as root or
# through sudo) and build with the machine's own Rust toolchain.

SHELL := /bin/sh
CARGO ?= cargo
VENV ?= $(or $(SEALWARD_TEST_VENV),$(HOME)/.cache/sealward-venv)
TOOLS ?= $(HOME)/.cache/sealward-tools
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
export SEALWARD_TEST_VENV := $(VENV)
export SEALWARD_TEST_TOOLS := $(TOOLS)
# A path of its own: what a test or a demo calls is what was built here.
export PATH := $(TARGET)/debug:$(TOOLS)/bin:$(PATH)

.PHONY: help run stop test demo show-first-light show-roles crash fuzz generate fmt lint deny audit man build-tools test-tools tools clean-dev

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

run: build-tools ## Build, start a throw-away daemon, make a first signature, show what to try next
	$(CARGO) build --locked --bins
	@scripts/first-light.sh "$(TARGET)/debug"

stop: ## Stop the throw-away daemon of `make run`
	@scripts/stop.sh

test: build-tools test-tools ## Everything that must hold: format, lints, architecture, unit, black-box, interop, crash
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) build --locked --bins
	$(CARGO) test --locked --no-fail-fast

demo: build-tools test-tools ## A real TUF repository, signed offline and through the daemon, verified by others
	$(CARGO) build --locked --bins
	@"$(VENV)/bin/python" demo/demo.py --bin "$(TARGET)/debug"

show-first-light: build-tools test-tools ## The demonstrations as checks, without talk
	@$(CARGO) build --locked --quiet --bins
	@"$(VENV)/bin/python" demo/demo.py --bin "$(TARGET)/debug" --quiet --with-run

show-roles: build-tools test-tools ## Attacks and what they got, rights, a rotation, and what heals: as tables of checks
	@$(CARGO) build --locked --quiet --bins
	@"$(VENV)/bin/python" demo/roles.py --bin "$(TARGET)/debug" --quiet

crash: build-tools ## The crash harness for longer: SEALWARD_CRASH_KILLS=2000 unless set
	SEALWARD_CRASH_KILLS=$${SEALWARD_CRASH_KILLS:-2000} $(CARGO) test --locked --test crash -- --nocapture

fuzz: build-tools ## The fuzz targets for SEALWARD_FUZZ_SECONDS each (60 unless set), on nightly
	@scripts/install.sh g++:g++
	@scripts/fuzz.sh "$(TOOLS)" "$${SEALWARD_FUZZ_SECONDS:-60}"

generate: ## Write the gRPC code anew after a change of proto/
	SEALWARD_REGENERATE=1 $(CARGO) test --locked --test generated_code

man: ## Man pages into target/man
	$(CARGO) build --locked --bins
	mkdir -p "$(TARGET)/man"
	"$(TARGET)/debug/sealwardd" man "$(TARGET)/man"
	"$(TARGET)/debug/sealward" man "$(TARGET)/man"
	"$(TARGET)/debug/sealward-ceremony" man "$(TARGET)/man"

fmt: ## Format
	$(CARGO) fmt

lint: ## Clippy with warnings denied
	$(CARGO) clippy --locked --all-targets -- -D warnings

deny: tools ## Bans, licences and sources of the dependencies
	$(TOOLS)/bin/cargo-deny --locked check bans licenses sources

audit: tools ## Known vulnerabilities of the dependencies
	scripts/audit.sh "$(TOOLS)"

# What a build needs: a C compiler for aws-lc and SQLite.
build-tools:
	@scripts/install.sh gcc:gcc make:make $(CARGO):
# What the tests and the demo need: SoftHSM2, its command line, openssl, strace, ssh with an sshd, python-tuf in an environment of its own.
test-tools:
	@scripts/install.sh softhsm2-util:softhsm2 pkcs11-tool:opensc openssl:openssl strace:strace python3:python3 mkfs.ext4:e2fsprogs systemd-analyze:systemd
	@scripts/install.sh ssh:openssh-client
	@scripts/sshd.sh "$(TOOLS)"
	@scripts/venv.sh "$(VENV)"
# What CI needs besides: pinned, built once, kept outside the clone.
tools:
	@scripts/tools.sh "$(TOOLS)"

clean-dev: stop ## Forget the throw-away daemon's keys and ledger
	rm -rf "$${TMPDIR:-/tmp}/sealward-dev-$$(id -u)"
