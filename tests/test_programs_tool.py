"""Programs that are no Python packages: fetched by an ordinary user, never missed in silence."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tools.programs import CannotFetch, Program, fetch, main, programs, searched, unpack

TOP = Path(__file__).parent.parent
GREETER = Program(
    name="greeter",
    program="usr/sbin/greeter",
    check=("--version",),
    debian=("greeter",),
    environment={"GREETER_SHARE": "usr/share/greeter"},
)


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("OSB_TOOLS", str(tmp_path / "cache"))


@pytest.fixture
def package(tmp_path):
    if shutil.which("dpkg-deb") is None:
        pytest.skip("Debian packages are made with dpkg-deb, which is not here")
    tree = tmp_path / "tree"
    for file, text in {
        "DEBIAN/control": "Package: greeter\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: greets\n",
        "usr/sbin/greeter": '#!/bin/sh\necho "$LD_LIBRARY_PATH $GREETER_SHARE $*"\n',
        "usr/lib/here/libgreeting.so.1.2": "",
        "usr/share/doc/greeter.socket": "",
    }.items():
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        (tree / file).write_text(text)
    (tree / "usr/sbin/greeter").chmod(0o755)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, tmp_path / "greeter.deb"], check=True)
    return tmp_path / "greeter.deb"


def test_an_unpacked_program_finds_its_libraries_and_its_files(package):
    GREETER.home.mkdir(parents=True)

    unpack(GREETER, [package], GREETER.home)

    started = subprocess.run([*GREETER.located(), "a b"], capture_output=True, text=True, check=True)
    home = GREETER.home
    assert started.stdout == f"{home}/usr/lib/here {home}/usr/share/greeter a b\n"


def test_what_is_there_is_not_fetched_again(package, monkeypatch):
    GREETER.home.mkdir(parents=True)
    unpack(GREETER, [package], GREETER.home)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    assert fetch(GREETER) == [str(GREETER.home / "run")]


def test_a_machine_without_apt_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(CannotFetch, match=r"no apt here.*Debian packages are greeter"):
        fetch(GREETER)


def test_a_package_that_no_source_has_is_named_with_what_apt_said(tmp_path):
    if shutil.which("apt-get") is None:
        pytest.skip("there is no apt here")
    nowhere = tmp_path / "apt.conf"
    nowhere.write_text('Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "/dev/null";\n')

    told = subprocess.run(
        [sys.executable, "-m", "tools.programs", "pgbouncer"],
        cwd=TOP,
        env={**os.environ, "APT_CONFIG": str(nowhere), "OSB_TOOLS": str(tmp_path / "empty")},
        capture_output=True,
        text=True,
        check=False,
    )

    if told.returncode == 0:
        pytest.skip("pgbouncer is installed here")
    assert "pgbouncer was not fetched" in told.stderr
    assert "Unable to locate package pgbouncer" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.fixture
def module(tmp_path):
    """A program in Go that tells its release, as a folder of the list names it."""
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module greeter.test\n\ngo 1.21\n")
    (folder / "go.sum").write_text("")
    (folder / "main.go").write_text(
        'package main\n\nvar release = "none"\n\nfunc main() { println(release) }\n'
    )
    return Program(
        name="greeter",
        program="greeter",
        check=(),
        go=str(folder),
        package=".",
        variables={"main.release": "7"},
    )


def test_a_program_in_go_is_built_once_and_told_its_release(module, monkeypatch):
    if shutil.which("go", path=searched()) is None:
        pytest.skip("there is no Go here")

    built = fetch(module)
    monkeypatch.setattr("tools.programs.by_go", None)

    assert fetch(module) == built == [str(module.home / "greeter")]
    assert subprocess.run(built, capture_output=True, text=True, check=True).stderr == "7\n"


def test_what_go_says_of_a_program_that_it_cannot_build_is_told(module):
    if shutil.which("go", path=searched()) is None:
        pytest.skip("there is no Go here")
    (Path(module.go) / "main.go").write_text("package main\n\nfunc main() { undefined() }\n")

    with pytest.raises(CannotFetch, match=r"greeter was not fetched[\s\S]*undefined"):
        fetch(module)


def test_a_machine_without_go_is_told_what_to_install(module, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tools.programs.SYSTEM", "")
    monkeypatch.setattr("tools.programs.GO", "")

    with pytest.raises(CannotFetch, match=r"no Go here to build greeter"):
        fetch(module)


def test_what_is_fetched_by_name_alone_is_left_out_of_all(monkeypatch):
    fetched = []
    monkeypatch.setattr(
        "tools.programs.fetch", lambda program: fetched.append(program.name) or [program.name]
    )

    assert main([]) == 0
    assert set(programs()) - set(fetched) == {name for name, one in programs().items() if one.only_by_name}
    assert "kube-apiserver" not in fetched
    assert main(["kube-apiserver"]) == 0
    assert fetched[-1] == "kube-apiserver"


def test_an_unknown_name_is_refused_with_those_that_there_are():
    told = subprocess.run(
        [sys.executable, "-m", "tools.programs", "nothing"],
        cwd=TOP, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert told.returncode == 2
    assert all(name in told.stderr for name in programs())


@pytest.mark.parametrize(
    ("tool", "ci", "verdict"),
    [("azurite", "", "1 skipped"), ("azurite", "true", "1 error"), ("kube-apiserver", "true", "1 skipped")],
)
def test_a_test_without_its_tool_is_skipped_and_fails_under_ci(tmp_path, tool, ci, verdict):
    (tmp_path / "test_it.py").write_text(
        f"import pytest\n@pytest.mark.needs('{tool}')\ndef test_it(): raise SystemExit('was run')\n"
    )

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.needs", "-p", "no:cacheprovider", "-ra",
         "-c", "/dev/null", "--rootdir", tmp_path, tmp_path],
        env={**os.environ, "PYTHONPATH": str(TOP), "CI": ci, "OSB_TOOLS": str(tmp_path / "empty")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert verdict in ran.stdout
    assert f"make tools TOOLS='{tool}' fetches it" in ran.stdout


@pytest.fixture
def jar(tmp_path, monkeypatch):
    """An archive within a jar, and an `mvn` that has it."""
    packed, script = io.BytesIO(), b"#!/bin/sh\necho out of a jar\n"
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("bin/greeter")
        member.size, member.mode = len(script), 0o755
        archive.addfile(member, io.BytesIO(script))
    made = tmp_path / "greeter-1.jar"
    with zipfile.ZipFile(made, "w") as opened:
        opened.writestr("greeter.tar.gz", packed.getvalue())
    (tmp_path / "mvn").write_text(
        f'#!/bin/sh\nfor each; do case "$each" in -DoutputDirectory=*) cp {made} "${{each#*=}}"; esac; done\n'
    )
    (tmp_path / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Program(
        name="greeter",
        program="bin/greeter",
        check=(),
        maven="an.example:greeter:1",
        sha256=hashlib.sha256(made.read_bytes()).hexdigest(),
        archive="greeter.tar.gz",
    )


def test_a_program_comes_out_of_a_jar(jar):
    command = fetch(jar)

    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "out of a jar\n"


def test_a_jar_that_is_another_one_is_not_unpacked(jar):
    with pytest.raises(CannotFetch, match="not the one that is meant"):
        fetch(replace(jar, sha256="0" * 64))
