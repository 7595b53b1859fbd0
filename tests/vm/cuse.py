"""Character devices of any number, played by a process: the raw protocol of /dev/cuse (linux/fuse.h), for tests only.

    cuse.py LOG NAME:MAJOR:MINOR...

Each device answers the version question of NVIDIA's driver and nothing else. What is done with one is a line in LOG,
written before the caller gets its answer, so that a finished command has left all its lines:

    NAME open|ioctl|read|write UID PID [WHAT]

UID and PID are those of the first namespaces, whatever the opener believes to be.
"""

import errno
import os
import select
import struct
import sys

from probe import VERSION, VERSION_IOCTL, VERSION_STRUCT

IN_HEADER = struct.Struct("=IIQQIIIHH")
OUT_HEADER = struct.Struct("=IiQ")
INIT_OUT = struct.Struct("=IIIIIIII40x")
WRITE_IN = struct.Struct("=QQIIQII")
IOCTL_IN = struct.Struct("=QIIQII")

FORGET, OPEN, READ, WRITE, RELEASE, FLUSH, INTERRUPT, IOCTL, INIT = 2, 14, 15, 16, 18, 25, 36, 39, 4096
# A request has at most a header, its arguments and this much data.
DATA = 65536


class Device:
    """One device: a session of /dev/cuse, which lasts as long as its descriptor."""

    def __init__(self, name, major, minor, log):
        self.name, self.number, self.log = name, (major, minor), log
        self.fd = os.open("/dev/cuse", os.O_RDWR)

    def serve(self):
        """Answers one request."""
        request = os.read(self.fd, DATA + 4096)
        _, opcode, unique, _, uid, _, pid, _, _ = IN_HEADER.unpack_from(request)
        body = request[IN_HEADER.size :]
        if opcode in (FORGET, INTERRUPT):
            return
        try:
            said, answer = self.answer(opcode, body)
            error = 0
        except OSError as refusal:
            said, answer, error = None, b"", -refusal.errno
        if said is not None:
            os.write(self.log, f"{self.name} {said[0]} {uid} {pid} {said[1]}".rstrip().encode() + b"\n")
        try:
            os.write(self.fd, OUT_HEADER.pack(OUT_HEADER.size + len(answer), error, unique) + answer)
        except FileNotFoundError:
            pass  # Who asked was killed meanwhile.

    def answer(self, opcode, body):
        """What goes into the log (or None), and what goes to the kernel."""
        if opcode == INIT:
            major, minor = struct.unpack_from("=II", body)
            name = f"DEVNAME={self.name}\0".encode()
            return None, INIT_OUT.pack(major, minor, 0, 0, DATA, DATA, *self.number) + name
        if opcode == OPEN:
            return ("open", ""), struct.pack("=QII", 0, 0, 0)
        if opcode == READ:
            return ("read", ""), b""
        if opcode == WRITE:
            size = WRITE_IN.unpack_from(body)[2]
            text = body[WRITE_IN.size : WRITE_IN.size + size].decode("ascii", "replace")
            return ("write", text), struct.pack("=II", size, 0)
        if opcode == IOCTL:
            _, _, command, _, _, room = IOCTL_IN.unpack_from(body)
            return self.ioctl(command, room)
        if opcode in (RELEASE, FLUSH):
            return None, b""
        raise OSError(errno.ENOSYS, "not played")

    def ioctl(self, command, room):
        """The version, in as much room as the caller's number of the ioctl gives."""
        if command != VERSION_IOCTL:
            raise OSError(errno.ENOTTY, "not played")
        reply = VERSION_STRUCT.pack(0, 1, VERSION.encode())
        return ("ioctl", ""), struct.pack("=iIII", 0, 0, 0, 0) + reply[:room]


def main(log, *devices):
    """Serves until it is killed."""
    log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    split = (device.split(":") for device in devices)
    devices = {device.fd: device for device in (Device(name, int(a), int(b), log) for name, a, b in split)}
    poll = select.poll()
    for fd in devices:
        poll.register(fd, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            devices[fd].serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
