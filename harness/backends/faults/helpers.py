"""Processes that faults start. None outlives its worker: the kernel kills it when the thread that started it ends."""

import os
import subprocess
import sys

#: What every helper begins with: SIGKILL at the end of whoever started it, and an end at once where that has come already.
BOUND = """
import ctypes, os, sys, time
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit()
"""
STARTED = []  # kept, so that nobody waits for them by chance


def start(code, *arguments, **more):
    """A Python process that runs `code`; sys.argv[2:] are the arguments."""
    argv = [sys.executable, "-I", "-c", BOUND + code, str(os.getpid())]
    process = subprocess.Popen(argv + [str(argument) for argument in arguments], **more)
    STARTED.append(process)
    return process


def start_ready(code, *arguments, **more):
    """The same, once the process has said a line: (process, line)."""
    process = start(code, *arguments, stdout=subprocess.PIPE, **more)
    with process.stdout as said:
        return process, said.readline()
