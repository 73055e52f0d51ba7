"""Makes `reprise.v1` from `proto/`: messages, services, their types, and one place to import them all from.

usage: clients/python/generate.py   (with the packages of tests/tools/python/requirements.txt)
"""

import os
import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "proto"
TARGET = ROOT / "clients/python/src"
PACKAGE = TARGET / "reprise/v1"

HEAD = '''"""The messages, enums and services of `reprise.v1`.

Generated from proto/ by `make generate`. DO NOT EDIT!
"""

'''


def names_of(file):
    """The module of each name that a proto file brings."""
    module = file.name.removesuffix(".proto").replace("/", ".") + "_pb2"
    names = [message.name for message in file.message_type] + [enum.name for enum in file.enum_type]
    names += [value.name for enum in file.enum_type for value in enum.value]
    return {module: names, module + "_grpc": [service.name + "Stub" for service in file.service]}


def main():
    # The plugins stand beside the interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    PACKAGE.mkdir(parents=True, exist_ok=True)
    for old in PACKAGE.glob("*_pb2*.py*"):
        old.unlink()
    files = sorted(str(path.relative_to(SOURCE)) for path in SOURCE.glob("reprise/v1/*.proto"))
    services = [name for name in files if name.endswith("_service.proto")]
    described = ROOT / ".tools/reprise.v1.bin"
    messages = [f"--python_out={TARGET}", f"--mypy_out=quiet:{TARGET}", f"--descriptor_set_out={described}"]
    stubs = [f"--grpc_python_out={TARGET}", f"--mypy_grpc_out=quiet:{TARGET}"]
    include = Path(protoc.__file__).parent / "_proto"
    for outputs, inputs in ((messages, files), (stubs, services)):
        if protoc.main(["protoc", f"-I{SOURCE}", f"-I{include}", *outputs, *inputs]) != 0:
            return 1
    modules = {}
    for file in FileDescriptorSet.FromString(described.read_bytes()).file:
        modules.update(names_of(file))
    lines = [HEAD]
    for module, names in sorted(modules.items()):
        if names:
            lines += [f"from {module} import (\n", *(f"    {name} as {name},\n" for name in sorted(names)), ")\n"]
    (PACKAGE / "__init__.py").write_text("".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
