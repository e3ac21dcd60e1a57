"""Becomes the command that its arguments are, tied to the process that began it: it ends when that one does.

For the ways in which nothing else ends a guest whose host is killed.
"""

import ctypes
import os
import signal
import sys

# linux/prctl.h
SET_PDEATHSIG = 1

ctypes.CDLL(None, use_errno=True).prctl(SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
