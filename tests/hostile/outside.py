# The host's side of an attack: a program of the same user that runs outside, gives the attack what it may know, and says
# `GOT` when something reached it. It ends when its input does.
import os, sys, time

ctypes, libc = Later('ctypes'), Later('ctypes', library)
select, signal, socket, struct, threading = (Later(name) for name in ('select', 'signal', 'socket', 'struct', 'threading'))

def give(**names):
    """What the attack may know: names for its program."""
    for name, value in names.items():
        print('GIVE %s = %r' % (name, value), flush=True)

def got(what):
    try:
        print('GOT', what, flush=True)
    except BrokenPipeError:
        os._exit(0)

def ready():
    print('READY', flush=True)

def wait():
    """Until the attack is over."""
    print('READY', flush=True)
    while sys.stdin.read(4096):
        pass

def serve(*sockets, connections=True):
    """Says which socket hears the mark or, if wanted, of a connection, until the attack is over; answers with the secret."""
    ready()
    # As ASCII: the suite reads lines of text.
    open_ones = {one: ascii(one.getsockname()) for one in sockets}
    over = False
    while True:
        heard = select.select(list(open_ones) + ([] if over else [0]), [], [], 0.05 if over else None)[0]
        if not heard and over:
            return
        for one in heard:
            if one == 0:
                over = not os.read(0, 4096) or over
                continue
            name = open_ones[one]
            try:
                if one.type & 0xf in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET) and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    peer, _ = one.accept()
                    if connections: got('a connection at ' + name)
                    peer.send(TOKEN.encode())
                    open_ones[peer] = name
                    continue
                data = one.recv(4096)
            except OSError:
                data = b''
            if MARK.encode() in data:
                got('the mark at ' + name)
            if not data:
                del open_ones[one]
                one.close()

def unix(name, kind=socket.SOCK_STREAM):
    one = socket.socket(socket.AF_UNIX, kind)
    one.bind(name)
    if kind != socket.SOCK_DGRAM:
        one.listen(8)
    return one

def victim():
    """Says which signals came, and that its memory was changed. Its memory, environment and a descriptor hold the secret."""
    for number in (signal.SIGURG, signal.SIGTERM, signal.SIGHUP, signal.SIGIO, signal.SIGWINCH, signal.SIGUSR1):
        signal.signal(number, lambda number, _: got('signal %d' % number))
    memory = ctypes.create_string_buffer(TOKEN.encode())
    flag = ctypes.create_string_buffer(64)
    give(PID=os.getpid(), SECRET_AT=ctypes.addressof(memory), FLAG_AT=ctypes.addressof(flag))
    fd = os.open(OUT + '/descriptor', os.O_RDWR | os.O_CREAT, 0o600)
    os.write(fd, TOKEN.encode())
    os.unlink(OUT + '/descriptor')
    os.chdir(OUT)
    give(FD=fd)
    return memory, flag
