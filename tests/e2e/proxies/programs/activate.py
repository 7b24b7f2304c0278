"""Socket activation as systemd-socket-activate(1) does it: `activate.py PORT COMMAND...`.

Listens, waits for the first connection, leaves it in the queue and becomes COMMAND, which finds
the listening socket as descriptor 3.
"""

import os
import select
import socket
import sys

server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen(16)
select.select([server], [], [])
listening = os.dup(server.fileno())  # never 3: that number may be taken by the original
os.dup2(listening, 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.argv[2], sys.argv[2:])
