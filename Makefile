# The two commands of the README. Everything behind them is a recipe of the justfile.
.PHONY: help demo test setup

help:
	@echo "make demo   install what is needed, run four sites and two phones on this machine, show that they reach each other"
	@echo "make test   install what is needed, run every check and every test"
	@echo "make setup  install what is needed, no more"

demo: setup
	@echo "demo: examples/four-sites/uvn.yml in network namespaces on this machine"
	@.venv/bin/just demo

test: setup
	@echo "test: linters, types, import contracts, documentation, then every test"
	@.venv/bin/just check-all

setup:
	@scripts/setup
