//! What processes share without a file: keyrings, shared memory and queues.

use crate::case::{Case, Engine, Got};

const KEY: &str = "K = 250 if os.uname().machine == 'x86_64' else 219; A = 248 if K == 250 else 217
key = libc.syscall(A, b'user', MARK.encode(), TOKEN.encode(), len(TOKEN), -4)
assert key > 0, 'no key'
assert libc.syscall(K, 5, key, 0x3f3f0000) == 0
give(KEY=key); wait(); libc.syscall(K, 21, key)";

/// Searches the user's keyring for what the attack has left there.
const LOOK: &str = "wait(); K = 250 if os.uname().machine == 'x86_64' else 219
key = libc.syscall(K, 10, -4, b'user', (MARK + '-left').encode(), 0)
if key > 0: libc.syscall(K, 21, key); got('a key was left')";

pub fn cases() -> Vec<Case> {
    let told = |name, host: &str, attack: &str| Case::new(name, Got::Told, attack).outside(host);
    vec![
        told("key-by-number", KEY, "buffer = ctypes.create_string_buffer(99); attempt(call, 'keyctl', 11, KEY, buffer, 99); print(buffer.value)"),
        told("key-by-name", KEY, "buffer = ctypes.create_string_buffer(99); key = call('keyctl', 10, -4, b'user', MARK.encode(), 0); call('keyctl', 11, key, buffer, 99); print(buffer.value)"),
        told("key-by-request", KEY, "attempt(call, 'keyctl', 1, 0); attempt(call, 'keyctl', 8, -4, -3); buffer = ctypes.create_string_buffer(99); key = call('request_key', b'user', MARK.encode(), 0, -3); call('keyctl', 11, key, buffer, 99); print(buffer.value)"),
        Case::new("key-left", Got::Outside, "call('add_key', b'user', (MARK + '-left').encode(), b'x', 1, -4)").outside(LOOK),
        Case::new("key-changed", Got::Outside, "call('keyctl', 2, KEY, MARK.encode(), len(MARK))").outside(&KEY.replace("wait();", "wait(); buffer = ctypes.create_string_buffer(99); libc.syscall(K, 11, key, buffer, 99); buffer.value == TOKEN.encode() or got('the key was changed');")),
        told("names-of-keys", &KEY.replace("b'user', MARK.encode()", "b'user', TOKEN.encode()"), "print(open('/proc/keys').read())").unpromised(&[Engine::Landlock], "what the caller may read of `/proc` can be read"),
        told("memory-of-system-v", "import random\nkey = random.randrange(1 << 30); libc.shmat.restype = ctypes.c_void_p; one = libc.shmget(key, 4096, 0o1600); at = libc.shmat(one, None, 0); ctypes.memmove(at, TOKEN.encode(), len(TOKEN)); give(KEY=key, ID=one)
try: wait()
finally: libc.shmctl(one, 0, None)", "libc.shmat.restype = ctypes.c_void_p
for one in (libc.shmget(KEY, 4096, 0), ID):
    at = libc.shmat(one, None, 0)
    if at not in (None, ctypes.c_void_p(-1).value): print(ctypes.string_at(at, 40))"),
        told("queue-of-system-v", "import random\nkey = random.randrange(1 << 30); one = libc.msgget(key, 0o1600); libc.msgsnd(one, ctypes.create_string_buffer(struct.pack('<q', 1) + TOKEN.encode()), len(TOKEN), 0); give(KEY=key, ID=one)
try: wait()
finally: libc.msgctl(one, 0, None)", "buffer = ctypes.create_string_buffer(99)
for one in (libc.msgget(KEY, 0), ID): libc.msgrcv(one, buffer, 60, ctypes.c_long(0), 0o4000); print(buffer.raw)"),
        told("queue-of-posix", "one = libc.mq_open(('/' + MARK).encode(), 0o102, 0o600, None); assert one > 0 and libc.mq_send(one, TOKEN.encode(), len(TOKEN), 0) == 0
try: wait()
finally: libc.mq_unlink(('/' + MARK).encode())", "one = libc.mq_open(('/' + MARK).encode(), 0o4000); buffer = ctypes.create_string_buffer(8192); libc.mq_receive(one, buffer, 8192, None); print(buffer.value)"),
        told("memory-of-posix", "name = '/dev/shm/' + MARK; open(name, 'w').write(TOKEN)
try: wait()
finally: os.unlink(name)", "cat('/dev/shm/' + MARK)"),
        Case::new("semaphore-of-system-v", Got::Outside, "for one in (libc.semget(KEY, 1, 0), ID): libc.semop(one, ctypes.create_string_buffer(struct.pack('<Hhh', 0, 1, 0)), ctypes.c_size_t(1))")
            .outside("import random\nkey = random.randrange(1 << 30); one = libc.semget(key, 1, 0o1600); give(KEY=key, ID=one)
try: wait(); libc.semctl(one, 0, 12, 0) and got('the semaphore was changed')
finally: libc.semctl(one, 0, 0, 0)"),
    ]
}
