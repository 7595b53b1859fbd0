"""Asks device nodes, inside a sandbox and outside as the control.

    probe.py WHAT:PATH[:WORD]...

WHAT is `open`, `drm` (the name of a DRM driver) or `touch` (the version from a stand-in of cuse.py, whose log then has
WORD). Prints a line for each: the answer, or the name of the error. Starts quickly, so it imports little.
"""

import errno
import fcntl
import os
import sys
from struct import Struct

# ioctl numbers and struct of the version question (nv-ioctl-numbers.h, nv_ioctl_rm_api_version_t).
VERSION = "595.45.04"
VERSION_IOCTL = 0xC0000000 | 72 << 16 | ord("F") << 8 | 210
VERSION_STRUCT = Struct("=II64s")
# drm.h, struct drm_version: three numbers, then lengths and addresses of three texts.
DRM_VERSION = 0xC0406400
DRM_STRUCT = Struct("=iii4xQQQQQQ")


def open_node(path):
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


def version(fd):
    """The version question of NVIDIA's driver."""
    question = bytearray(VERSION_STRUCT.size)
    fcntl.ioctl(fd, VERSION_IOCTL, question)
    return VERSION_STRUCT.unpack(question)[2].rstrip(b"\0").decode()


def touch(fd, word="touched"):
    """Uses a stand-in, and leaves a word in its log."""
    answer = version(fd)
    os.write(fd, word.encode())
    return answer


def drm(fd):
    """The name of the driver of a DRM node."""
    import ctypes

    name = ctypes.create_string_buffer(32)
    fcntl.ioctl(fd, DRM_VERSION, bytearray(DRM_STRUCT.pack(0, 0, 0, 31, ctypes.addressof(name), 0, 0, 0, 0)))
    return name.value.decode()


def answer(ask):
    """What a function gives, or the name of its error."""
    try:
        return ask()
    except OSError as error:
        return errno.errorcode[error.errno]


def main(*questions):
    asks = {"open": lambda fd: "ok", "touch": touch, "drm": drm}
    for question in questions:
        what, path, *word = question.split(":")
        print(answer(lambda: asks[what](open_node(path), *word)))


if __name__ == "__main__":
    main(*sys.argv[1:])
