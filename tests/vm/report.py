"""How a check is run and told: a line for each, and a count at the end."""

import time
import traceback


def result(function, lab, what):
    """Runs one check, prints its line, and tells whether it passed."""
    start, why = time.monotonic(), ""
    try:
        function(lab)
    except Exception:
        why = traceback.format_exc()
    word = "FAILED" if why else "ok"
    print(f"{word:6} {time.monotonic() - start:5.1f} s  {function.__name__} ({what})\n{why}", end="", flush=True)
    return not why


def count(results):
    """The last line, by which the host knows that this is the end."""
    print(f"{results.count(True)} passed, {results.count(False)} failed", flush=True)
