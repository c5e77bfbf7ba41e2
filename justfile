# Recipes for people who work on uno. `uv run just` lists them; none of them needs uv on PATH.

set shell := ["bash", "-euo", "pipefail", "-c"]

export PATH := justfile_directory() + "/.venv/bin:" + env("PATH")
export NO_MKDOCS_2_WARNING := "1"

_list:
    @just --list --unsorted

# format, and fix what can be fixed automatically
fmt:
    ruff format .
    ruff check --fix-only --quiet .

# formatting, lint, types, import contracts
lint:
    ruff format --check .
    ruff check .
    mypy
    lint-imports

# unit, property and golden tests: no root, no network; more arguments go to pytest
test *args:
    pytest -m "not lab" -n auto {{ args }}

# tests on real WireGuard and FRR in network namespaces; needs root
lab *args:
    pytest -m lab {{ args }}

# each setting that a cell obeys, released alone, with a good value and with others; needs root
settings *args:
    pytest -m lab tests/lab/test_settings.py --settings-alone {{ args }}

# all that needs no root
check: lint test docs

# all there is: what `make test` and CI run
check-all *args:
    python scripts/run_tests.py {{ args }}

# known vulnerabilities: of requirements/ by the snapshot that CI checks too, then of uv.lock by a service on the network
audit:
    python scripts/advisories.py
    PATH="$PATH:{{ justfile_directory() }}/.venv-tools/bin"; uv audit --frozen

# requirements/advisories.json again, from a clone of PyPA's advisory database (pypa/advisory-database on GitHub)
advisories clone:
    python scripts/advisories.py {{ clone }}

# requirements/run.txt again, after a change of uv.lock
requirements:
    { echo "# What uno runs on, as in uv.lock. Made with: just requirements"; PATH="$PATH:.venv-tools/bin" uv export -q --frozen --no-default-groups --no-emit-project --no-header --no-annotate; } > requirements/run.txt

# the documentation, into site/; a broken link is an error
docs:
    mkdocs build --strict --quiet

# the documentation on a local port, rebuilt as you type
docs-serve:
    mkdocs serve

# a wheel and an sdist, in dist/
wheel:
    packaging/build wheel

# the Debian package, in dist/, with a Python of its own; Debian 12
deb:
    packaging/build deb

# what the Debian package consists of, as CycloneDX, in dist/; after `just deb`
sbom:
    packaging/build sbom

# SHA256SUMS of all that is in dist/
sums:
    packaging/build sums

# the container image, in dist/, for `docker load` and `podman load`; root, buildah, podman, runc, mmdebstrap; after `just deb`
image:
    packaging/image build

# proves the image: its actions, and a cell of a lab as a container, with podman or, `just image-test docker`, with Docker; arguments go to pytest
image-test *args:
    packaging/image test {{ args }}

# proves the Debian package on two hosts with systemd and the kernel's WireGuard, emulated by qemu: boot, reboot, upgrade, removal; root. `just vm-test --arch arm64` for ARM
vm-test *args:
    packaging/vm/test {{ args }}

# wheel, Debian package, inventory and checksums, in dist/, from a bare Debian 12 on any Debian or Ubuntu; root. docs/how-to/release.md
release:
    packaging/in-root packaging/build wheel deb sbom
    packaging/image build
    packaging/build sums

# runs an agent for another processor, emulated by qemu-user, beside agents of this one; after `packaging/in-root --arch arm64 packaging/build deb`; root
emulated arch="arm64":
    packaging/emulated {{ arch }}

# proves wheel and Debian package: same bytes twice, lintian, life cycle in a bare root; root, some minutes
package-test *args:
    packaging/test {{ args }}

# each row of the feature table with its tests; `just features --check F001 F002` fails if one has none
features *args:
    python scripts/features.py {{ args }}

# sizes, imports, complexity, docstrings and names of src/uno; `just house --paraphrase [PATH]` lists sentences
house *args:
    python scripts/house.py {{ args }}

# hand-made mutants of tests/mutants.toml, each of which a test must kill; no lab. E.g. `just mutants planning`
mutants *args:
    python scripts/mutants.py {{ args }}

# altered statements and packages, for what agents do not refuse properly; no lab. E.g. --seed 7
fuzz *args:
    python scripts/fuzz.py {{ args }}

# altered datagrams, to the bus of a cell and of the registry; no lab. E.g. --datagrams 10000
fuzz-datagrams *args:
    python scripts/fuzz_datagrams.py {{ args }}

# the figures of docs/benchmarks.md; with a name, one of them: compile, failover, throughput
bench name="":
    for script in benchmarks/{{ name }}*.py; do python "$script"; done

# random faults and changes in a lab, 200 by default; needs root. E.g. --seed 7 --faults 500
chaos *args:
    scripts/chaos {{ args }}

# the pictures of the page in docs/images, taken in Chromium
screenshots:
    python scripts/screenshots.py

# four sites and two phones on this machine; needs root
demo *args:
    uno lab demo -s examples/four-sites/uvn.yml {{ args }}
