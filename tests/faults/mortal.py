"""The functions' process as something that dies: killed without a chance to finish, and replaced by another one."""

import os
import re
import signal

from local.processes import answers
from local.system import System
from tests.faults.waiting import wait_for

_BORN = re.compile(r"Booting worker with pid: (\d+)")


class Mortal:
    """The process that serves a system's functions: gunicorn's only worker, which gunicorn replaces when it is gone.

    The port stays open meanwhile, as Cloud Run's front end does; what breaks is every request that was being served.
    (With the port closed too, pushes were seen to stall for minutes while the functions sat idle; why is not known.)
    """

    def __init__(self, system: System) -> None:
        self._child = system.functions.child
        self._address = system.functions.addresses["functions"]

    def die(self) -> None:
        """SIGKILL: nothing is finished, nothing is answered. Returns when the next one serves. Raises TimeoutError."""
        lives = self._lives()
        os.kill(int(lives[-1]), signal.SIGKILL)
        wait_for(lambda: len(self._lives()) > len(lives) and answers(self._address))

    def _lives(self) -> list[str]:
        return _BORN.findall(self._child.output())
