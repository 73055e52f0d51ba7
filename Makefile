# Two commands on a fresh machine: `make demo` shows the main job, `make test` runs every test.
SHELL := /bin/bash
.DEFAULT_GOAL := help
TOOLS := .tools
CARGO ?= cargo
BUF := $(TOOLS)/buf/node_modules/.bin/buf

.PHONY: help demo demo-start demo-clean test torture lint generate dashboard bench run tools clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: ## a signed webhook starts Claude, a second one continues its session; leaves the server up
	@bash demo/demo.sh

demo-start: ## starts the demo's server again
	@bash demo/demo.sh start

demo-clean: ## removes everything the demo left
	@bash demo/demo.sh clean

test: ## every test, on SQLite and PostgreSQL, with the real Claude Code
	@bash tests/run.sh

torture: ## the long form of the crash tests: half an hour of kills, freezes and power cuts of servers and database under load
	@bash tests/torture.sh

lint: ## format, clippy, documentation, dependencies, contract, spelling
	@bash tests/lint.sh

generate: ## the code of the clients, from proto/ (committed; lint compares)
	@bash clients/generate.sh

bench: ## speed and memory, each figure beside its limit (BENCH=acks,watch for parts; QUICK=true for a short one)
	@$(CARGO) build --release --quiet --bins -p reprise -p fake-claude -p bench
	@$(CARGO) run --release --quiet -p bench

dashboard: clients/node_modules/.package-lock.json ## builds the web page that the server serves
	@cd clients && npm run --silent build -w dashboard

clients/node_modules/.package-lock.json: clients/package.json clients/package-lock.json clients/typescript/package.json clients/dashboard/package.json
	@cd clients && npm ci --silent && touch node_modules/.package-lock.json

run: ## the server, with data in ./data
	$(CARGO) run --release -- serve

$(BUF): tests/tools/buf/package.json tests/tools/buf/package-lock.json
	@mkdir -p $(TOOLS)/buf && cp tests/tools/buf/package*.json $(TOOLS)/buf/ && npm install --prefix $(TOOLS)/buf --no-save --silent && touch $@

clean: ## build products and tools
	rm -rf target $(TOOLS) clients/node_modules clients/dashboard/dist clients/typescript/dist
