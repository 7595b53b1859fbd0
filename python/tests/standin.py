"""Stands in for a program without `--json-outcome`: starts the real one, and tells what its exit code and words say."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys

real = os.environ["RINGFENCE_STANDIN_FOR"]
words = sys.argv[1:]
end = words.index("--") if "--" in words else len(words)
number = next((int(word.split("=")[1]) for word in words[:end] if word.startswith("--json-outcome=")), None)
words = [word for at, word in enumerate(words) if at >= end or not word.startswith(("--json-outcome=", "--explain"))]
if number is None:
    os.execv(real, ["ringfence", *words])
passed = [int(word.split("=")[1]) for word in words[:end] if word.startswith("--pass-fd=")]
libc = ctypes.CDLL(None)
process = subprocess.Popen(
    ["ringfence", *words],
    executable=real,
    stderr=subprocess.PIPE,
    pass_fds=passed,
    preexec_fn=lambda: libc.prctl(1, signal.SIGKILL),
)
for wanted in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(wanted, lambda got, _: process.send_signal(got))
said = bytearray()
while data := os.read(process.stderr.fileno(), 1 << 16):
    said += data
    os.write(2, data)
code = process.wait()
text = said.decode(errors="replace")
told = {"version": 1, "code": code, "ending": {"kind": "exit", "code": code}, "timed_out": None, "limits": [], "denials": []}
message, _, hint = text.strip().partition("\n\nhint: ")
if code in (2, 125) and text.startswith("error: "):
    told["ending"] = {"kind": "failed", "error": message.removeprefix("error: "), "hint": hint or None}
elif code in (126, 127) and text.startswith("error: "):
    told["ending"] = {"kind": "not-executed", "error": message.removeprefix("error: ")}
elif code == 124 and "(--" in text:
    told["timed_out"] = "idle-timeout" if "--idle-timeout" in text else "timeout"
elif code > 128:
    told["ending"] = {"kind": "signal", "signal": code - 128}
os.write(number, json.dumps(told).encode())
sys.exit(code)
