#!/usr/bin/env python3
"""Pastes the recipes of clients/README.md into a shell and compares what they print; run by tests/clients/run.sh.

Each rpc of the contract must have one.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import readme  # noqa: E402


def rpcs():
    """`Service/Method` of every rpc in proto/."""
    for path in sorted((ROOT / "proto/reprise/v1").glob("*_service.proto")):
        text = path.read_text()
        service = re.search(r"^service (\w+)", text, re.M)[1]
        yield from (f"{service}/{method}" for method in re.findall(r"^  rpc (\w+)\(", text, re.M))


def main():
    # The server and its key are in the environment already.
    todo = [one for one in readme.commands((ROOT / "clients/README.md").read_text()) if one[0] != "source .demo/env"]
    pasted = "\n".join(command for command, _ in todo)
    failed = 0
    for rpc in rpcs():
        if not re.search(rf"\b{rpc}\b", pasted):
            failed += 1
            print(f"FAILED  {rpc} has no recipe")
    # Only what makes a name for later may print nothing; `…` alone would be satisfied by anything.
    says = [any(line.strip() != "…" for line in expected) for _, expected in todo]
    silent = [command for (command, _), said in zip(todo, says) if not said and not re.match(r"\w+(\(\) \{|=)", command)]
    for command in silent:
        failed += 1
        print(f"FAILED  $ {command}\n  it does not say what it prints")
    failed += readme.paste(todo)
    print(f"recipes: {len(todo)} commands, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
