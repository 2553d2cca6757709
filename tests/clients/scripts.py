"""Programs of other people that run on Node.js; `make tools` fetches what they stand on."""

import os
from pathlib import Path

from tools.programs import node, programs

HERE = Path(__file__).parent


def a_script(tool, script):
    """The command that runs a script of *tool*'s folder on the packages that were fetched for it."""
    return [node(), str(HERE.parent.parent / (programs()[tool].npm or "") / script)]


def an_environment(tool, **more):
    """What a script of *tool* is told: where its packages are, and nothing of this machine's proxies."""
    return {"PATH": os.environ["PATH"], "NODE_PATH": str(programs()[tool].home / "node_modules"), **more}
