"""The first process of a container: begins the command that its arguments are, and ends with it, or with its host.

Nothing that the guest does can end this process, which is not under the guest's filter. The first argument is the
descriptor that its stdout becomes; where that is another one, what it prints goes to stderr.
"""

import ctypes
import os
import select
import sys

GONE = 9
OF_ENGINE = ("HOSTNAME", "PATH")
"""What engines put into the environment by themselves."""

# linux/prctl.h
SET_DUMPABLE = 4


def main() -> int:
    """Begin the guest and wait."""
    channel, command = int(sys.argv[1]), sys.argv[2:]
    pid = os.fork()
    if not pid:
        if channel != 1:
            os.dup2(1, channel, inheritable=True)
            os.dup2(2, 1)
        for name in OF_ENGINE:
            os.unsetenv(name)
        os.execv(command[0], command)
    # Nobody looks into this process.
    ctypes.CDLL(None).prctl(SET_DUMPABLE, 0, 0, 0, 0)
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    # Nothing is read: that the other end is closed is told whatever is asked for.
    poll.register(0, 0)
    while True:
        found = dict(poll.poll())
        if ended in found:
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            return code if code >= 0 else 128 - code
        if 0 in found:
            return GONE


os._exit(main())
