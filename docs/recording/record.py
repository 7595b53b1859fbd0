#!/usr/bin/env python3
"""Records a session of real commands, and draws it.

    docs/recording/record.py BINARY    runs the commands below: session.cast and session.svg; as root, for a home of its own
    docs/recording/record.py           draws session.cast again: session.svg
    docs/recording/record.py --check   the same, and fails when that is not what session.svg holds

What is printed is what the program printed, in a terminal; when it appears is set here, so that two recordings differ
only where the program does. The drawing is one SVG with a style sheet: no script, and without animation it is the end.
"""

import json, os, pty, re, shutil, subprocess, sys
from html import escape
from pathlib import Path

HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
COLUMNS, ROWS = 106, 24
COMMANDS = [
    "ringfence run -- sh -c 'echo hello > note; cat note'",
    "ringfence run -- touch /etc/note",
    "ringfence run -- cat ~/.ssh/id_ed25519",
    "ringfence run --allow-host pypi.org -- curl -s https://example.org",
    "ringfence why --write .git/hooks/pre-commit",
    "ringfence plan --tree -- make",
]
KEY, THINK, READ, END = 0.035, 0.5, 1.4, 6.0
PROMPT = "\x1b[32m$\x1b[0m "


def run(command):
    """What a command prints in a terminal of its own."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvp("bash", ["bash", "--norc", "-c", command])
    import fcntl, struct, termios
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    said = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        said += piece
    os.waitpid(child, 0)
    return said.decode("utf-8", "replace")


def record():
    """The events of a session, as asciicast has them: [seconds, "o", text]."""
    events, now = [], 0.5

    def say(text, after):
        nonlocal now
        events.append([round(now, 3), "o", text])
        now += after

    for command in COMMANDS:
        say(PROMPT, THINK)
        for letter in command:
            say(letter, KEY)
        say("\r\n", 0.25)
        say(run(command), READ)
    say(PROMPT, END)
    return events


def at_home(binary):
    """Starts this again as an ordinary user, whose home is a file system in memory that nobody else sees."""
    script = """
        mount -t tmpfs none /home && mkdir -p /home/you/project /home/you/.ssh /home/bin && cd /home/you/project
        cp "$1" /home/bin/ringfence && echo 'not for you' > ../.ssh/id_ed25519
        git init -q . && chown -R 1000:1000 /home/you
        exec setpriv --reuid 1000 --regid 1000 --clear-groups env -i PATH=/home/bin:/usr/bin:/bin HOME=/home/you \
            LC_ALL=C.UTF-8 TERM=xterm-256color python3 - --inside
    """
    unshare = ["unshare", "--mount", "--propagation", "private", "--", "bash", "-euc", script, "bash", binary]
    source = Path(__file__).read_bytes()
    return json.loads(subprocess.run(unshare, input=source, stdout=subprocess.PIPE, check=True).stdout)


def lines_of(events):
    """Lines of the screen: (when each began to appear, how long it was typed, [(style, text)])."""
    lines, style = [], ""
    fresh = True
    for when, _, text in events:
        for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|\r?\n|\r|[^\x1b\r\n]+", text):
            if part.endswith("\n"):
                if fresh:
                    lines.append([when, when, []])
                fresh = True
            elif part.startswith("\x1b"):
                if part.endswith("m"):
                    style = styled(part[2:-1], style)
            elif part != "\r":
                for start in range(0, len(part), COLUMNS):
                    if fresh or start > 0:
                        lines.append([when, when, []])
                        fresh = False
                    lines[-1][1] = when
                    lines[-1][2].append((style, part[start:start + COLUMNS]))
    return lines


def styled(codes, style):
    """The class of a text after a sequence of codes."""
    names = {"1": "b", "31": "r", "32": "g", "33": "y"}
    for code in codes.split(";"):
        style = "" if code in ("", "0") else " ".join(sorted({*style.split(), names.get(code, "")} - {""}))
    return style


def spans(parts):
    """The parts of a line, neighbours of one style joined."""
    joined = []
    for style, text in parts:
        if joined and joined[-1][0] == style:
            joined[-1][1] += text
        else:
            joined.append([style, text])
    return "".join(
        f'<tspan class="{style}">{escape(text)}</tspan>' if style else escape(text) for style, text in joined
    )


def draw(events):
    """The session as an SVG that plays it in a loop."""
    lines, total = lines_of(events), events[-1][0] + END
    share = lambda when: f"{100 * when / total:.2f}%"
    wide, high, top = 8.43, 19, 44
    width, height = round(COLUMNS * wide + 36), top + ROWS * high + 14
    css, body, scroll = [], [], {}
    for number, (begins, ends, parts) in enumerate(lines):
        y = top + 14 + number * high
        text = f'<text y="{y}" id="l{number}">{spans(parts)}</text>'
        if ends > begins:
            # Typed: letter by letter, from the prompt on.
            letters = sum(len(part) for _, part in parts) - 2
            css.append(
                f"@keyframes k{number}{{0%,{share(begins)}{{clip-path:inset(0 100% 0 0)}}"
                f"{share(begins + 0.01)},{share(begins + THINK)}{{clip-path:inset(0 {100 - 200 / (letters + 2):.1f}% 0 0);"
                f"animation-timing-function:steps({letters})}}{share(ends)},100%{{clip-path:inset(0 0 0 0)}}}}"
            )
        else:
            css.append(
                f"@keyframes k{number}{{0%,{share(begins)}{{visibility:hidden}}"
                f"{share(begins + 0.01)},100%{{visibility:visible}}}}"
            )
        css.append(f"#l{number}{{animation:k{number} {total:.2f}s infinite}}")
        body.append(text)
        above = max(0, number + 1 - ROWS) * high
        # Lines that appear at once scroll at once.
        scroll[begins] = above
    steps, last = ["0%{transform:translateY(0)}"], 0
    for begins, above in scroll.items():
        if above != last:
            steps.append(f"{share(begins)}{{transform:translateY(-{last}px)}}{share(begins + 0.01)}"
                         f"{{transform:translateY(-{above}px)}}")
            last = above
    steps.append(f"100%{{transform:translateY(-{last}px)}}")
    css.append("@keyframes up{" + "".join(steps) + "}")
    style = (
        "text{font:14px ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#d8dee9;white-space:pre}"
        ".b{font-weight:bold}.r{fill:#ff7b85}.g{fill:#8fd694}.y{fill:#f0c674}"
        f"#all{{transform:translateY(-{last}px);animation:up {total:.2f}s infinite}}"
        + "".join(css)
        + "@media (prefers-reduced-motion:reduce){text,#all{animation:none!important}}"
    )
    dots = "".join(f'<circle cx="{20 + 18 * at}" cy="20" r="6" fill="{color}"/>'
                   for at, color in enumerate(["#ff5f57", "#febc2e", "#28c840"]))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        f"<title>A session with ringfence</title>\n<style>{style}</style>\n"
        f'<rect width="{width}" height="{height}" rx="10" fill="#1b1f27"/>{dots}\n'
        f'<svg x="18" y="{top}" width="{width - 36}" height="{ROWS * high}" '
        f'viewBox="0 {top} {width - 36} {ROWS * high}"><g id="all">\n'
        + "\n".join(body) + "\n</g></svg>\n</svg>\n"
    )


def main():
    cast, svg = HERE / "session.cast", HERE / "session.svg"
    words = sys.argv[1:]
    if words == ["--inside"]:
        print(json.dumps(record()))
        return
    if words and words != ["--check"]:
        header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "ringfence"}
        events = at_home(shutil.which(words[0]) or words[0])
        cast.write_text("".join(json.dumps(line) + "\n" for line in [header, *events]))
    events = [json.loads(line) for line in cast.read_text().splitlines()[1:]]
    drawn = draw(events)
    if words == ["--check"]:
        if drawn != svg.read_text():
            sys.exit("error: session.svg is not what session.cast looks like\n\nhint: docs/recording/record.py")
        return
    svg.write_text(drawn)
    print(f"{svg.name}: {len(drawn)} bytes, {len(lines_of(events))} lines")


if __name__ == "__main__":
    main()
