#!/usr/bin/env python3
"""Prints which GPUs can be reached, and by what a program would choose among them.

A stand-in node has no driver behind it: one that can be reached answers ENXIO, one that is forbidden EPERM or EACCES.
"""
import errno
import os

reached = []
for minor in range(3):
    try:
        os.close(os.open(f"/dev/nvidia{minor}", os.O_RDWR))
    except OSError as error:
        if error.errno == errno.ENXIO:
            reached.append(f"nvidia{minor}")
names = ["CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"]
print(" ".join(reached) or "none", *(f"{name}={os.environ.get(name, 'unset')}" for name in names), flush=True)
