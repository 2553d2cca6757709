"""
Runs a program as another user, and ends it when the process that asked for it dies.

Executed as a script by its path, never imported: it must work in a bare interpreter, before any
package of the broker is loaded, and must not depend on what a fork of a threaded process may do.

Arguments: uid, gid (both -1: stay the user that one is), the asking process's id, the number of the signal
that ends the program in order, then the command.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    uid, gid, asked_by, end_signal = (int(argument) for argument in sys.argv[1:5])
    command = sys.argv[5:]
    os.umask(0o077)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # After the change of user, which clears it. Other systems than Linux have no such call: there a killed
    # simulator leaves its servers running until the next start finds them by their pid file.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, end_signal, 0, 0, 0)
        if os.getppid() != asked_by:
            sys.exit(1)  # died between the fork and the line above
    os.execv(command[0], command)  # noqa: S606  # replaces this process, no shell


if __name__ == "__main__":
    main()
