"""Checks a Containerfile; prints what its first stage copies from the context."""

import os
import sys

import dockerfile

stages, copied = [], []
for command in dockerfile.parse_file(sys.argv[1]):
    if command.cmd.upper() == "FROM":
        image, _, tag = command.value[0].rpartition(":")
        assert image and tag not in ("", "latest"), f"{command.value[0]} names no version"
        stages.append({"name": command.value[-1], "user": "root", "copies": []})
    elif command.cmd.upper() == "USER":
        stages[-1]["user"] = command.value[0]
    elif command.cmd.upper() == "COPY":
        stages[-1]["copies"].append((command.flags, command.value))
    elif command.cmd.upper() == "RUN":
        for word in ("curl", "wget", "git clone", "http:", "https:"):
            assert word not in command.value[0], f"{word}: only registries are needed"
    else:
        assert command.cmd.upper() in ("WORKDIR", "ENTRYPOINT", "CMD"), command.cmd
first, last = stages
assert first["name"] == "build" and all(not flags for flags, _ in first["copies"])
assert [flags for flags, _ in last["copies"]] == [("--from=build",)], last
assert int(last["user"].split(":")[0]) > 0, "the image's user is root"
for _, value in first["copies"]:
    for source in value[:-1]:
        assert os.path.exists(source), f"{source} is not there"
        copied.append(source)
print("\n".join(copied))
