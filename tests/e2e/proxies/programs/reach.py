"""Tries ports of 127.0.0.1 and says what came of it: `reach.py connect:4000 bind:8080`."""

import errno
import json
import socket
import sys

answers = {}
for task in sys.argv[1:]:
    what, _, port = task.partition(":")
    with socket.socket() as made:
        made.settimeout(5)
        try:
            getattr(made, what)(("127.0.0.1", int(port)))
            answers[task] = "ok"
        except OSError as error:
            answers[task] = errno.errorcode.get(error.errno or 0, str(error))
print(json.dumps(answers))
