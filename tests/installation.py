"""The project as somebody else gets it: a wheel, installed outside the checkout."""

import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, TOP],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (file,) = out.glob("*.whl")
    return file


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """A folder with `bin/osb`. The locked libraries are lent by this environment, the project itself is not."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False, symlinks=True)
    (packages,) = home.glob("lib/python*/site-packages")
    # Folders named in a .pth file are searched, but .pth files in them are not read: an editable checkout stays out.
    (packages / "lent.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install", "--quiet", "--no-deps",
         "--no-index", "--no-compile", wheel],
        check=True,
    )  # fmt: skip
    return home
