"""Decode mutants under an audit hook: a program for the audit test, which reads the one line of JSON it prints.

Python tells the hook of everything that could turn bytes into code. A hook cannot be removed, hence a process.
"""

import itertools
import json
import logging
import sys

import fuzz_codec
import fuzz_link
import fuzz_scoring
import fuzz_store
import fuzz_weights
from fuzzing import corpus

BANNED = ("pickle.find_class", "exec", "compile", "os.system", "subprocess.Popen", "ctypes.dlopen")
BANNED += ("marshal.loads", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "socket.connect", "code.__new__")
BANNED += ("import", "sqlite3.enable_load_extension", "sqlite3.load_extension")

heard: dict[str, int] = {}
listening = False


def hook(event: str, _: object) -> None:
    """Count what happens while bytes are decoded."""
    if listening:
        heard[event] = heard.get(event, 0) + 1


def main(frames: int) -> None:
    """Decode so many mutants for each target, a few of them first so that everything is imported."""
    global listening
    logging.disable()
    sys.addaudithook(hook)
    targets = {
        "codec": fuzz_codec,
        "link": fuzz_link,
        "scoring": fuzz_scoring,
        "store": fuzz_store,
        "weights": fuzz_weights,
    }
    decoded = 0
    for name, target in targets.items():
        mutants = iter(target.mutator(11).mutant, None)
        inputs = [*corpus(name).values(), *itertools.islice(mutants, frames // (50 if name == "store" else 1))]
        for data in inputs[:200]:
            target.one(data)
        listening = True
        for data in inputs:
            target.one(data)
        listening = False
        decoded += len(inputs)
    listening = True
    if "--prove" in sys.argv:
        compile("1", "", "eval")
    listening = False
    print(json.dumps({"decoded": decoded, "banned": {event: heard.get(event, 0) for event in BANNED}, "heard": heard}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
