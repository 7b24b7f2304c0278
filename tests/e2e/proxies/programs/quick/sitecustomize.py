"""Read by Python at its start: a program that only has to come up collects no garbage.

With `ROUTEGUARD_TEST_TWICE` in its environment it serves twice from one start, importing litellm
takes ten seconds of the processor: first in a child, whose wait status it writes to the file
`served-once` of its directory; once that file is gone, itself.
"""

import gc
import os
import time

gc.disable()


def serve_twice(*arguments: object, **options: object) -> None:
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        with open("served-once.new", "w") as said:
            said.write(str(os.waitstatus_to_exitcode(status)))
        os.rename(said.name, "served-once")
        while os.path.exists("served-once"):
            time.sleep(0.1)
    serve(*arguments, **options)


if "ROUTEGUARD_TEST_TWICE" in os.environ:
    import uvicorn

    serve, uvicorn.run = uvicorn.run, serve_twice
