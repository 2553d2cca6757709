"""
Put together what a release consists of, in dist/: python -m tools.release [--out FOLDER]

Wheel and source distribution, a software bill of materials (CycloneDX 1.6, from the lock of what runs), the version's
notes out of CHANGELOG.md, the chart's package if there is a chart, and the checksums of all. The same commit gives the
same bytes: times are SOURCE_DATE_EPOCH, else the commit's.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import yaml
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

TOP = Path(__file__).parent.parent
LOCK = TOP / "requirements" / "runtime.txt"


class CannotRelease(Exception):
    pass


def project() -> dict[str, str]:
    named = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {key: named[key] for key in ("name", "version", "license", "description")}


def epoch() -> int:
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    committed = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=TOP, capture_output=True, text=True, check=False
    )
    if committed.returncode != 0:
        raise CannotRelease("There is no git history here to take the time from: set SOURCE_DATE_EPOCH.")
    return int(committed.stdout)


def distributions(out: Path, at: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, TOP],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(at)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise CannotRelease(f"The wheel was not built:\n{(ran.stdout + ran.stderr)[-2000:]}")


def locked() -> list[tuple[str, str, list[str]]]:
    """Name, version and hashes of each locked package, in the lock's order."""
    text = re.sub(r"\s*\\\n\s*", " ", LOCK.read_text(encoding="utf-8"))
    return [
        (pin["name"], pin["version"], re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
        for line in text.splitlines()
        if (pin := re.match(r"(?P<name>[a-z0-9._-]+)==(?P<version>[^\s;]+)", line))
    ]


def bill_of_materials(at: int) -> str:
    """
    The bill as JSON.

    Raises:
        CannotRelease: It does not hold to the schema.
    """
    about, licences = project(), LicenseFactory()
    root = Component(
        name=about["name"],
        version=about["version"],
        type=ComponentType.APPLICATION,
        description=about["description"],
        licenses=[licences.make_from_string(about["license"])],
        bom_ref=about["name"],
        purl=PackageURL("pypi", None, about["name"], about["version"]),
    )
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"{about['name']}-{about['version']}-{LOCK.read_text()}"))
    bom.metadata.timestamp = datetime.fromtimestamp(at, UTC)
    bom.metadata.component = root
    parts = []
    for name, version, hashes in locked():
        licence = declared_licence(name, version)
        parts.append(
            Component(
                name=name,
                version=version,
                type=ComponentType.LIBRARY,
                bom_ref=f"{name}=={version}",
                purl=PackageURL("pypi", None, name, version),
                licenses=[licences.make_from_string(licence)] if licence else [],
                # One for each of its files: the lock lets any of them in.
                properties=[Property(name="locked:sha256", value=value) for value in hashes],
            )
        )
    bom.components.update(parts)
    bom.register_dependency(root, parts)
    written = JsonV1Dot6(bom).output_as_string(indent=2)
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(written):
        raise CannotRelease(f"The bill of materials is not as CycloneDX 1.6 wants it: {fault}")
    return written + "\n"


def declared_licence(name: str, version: str) -> str | None:
    """What the installed package says, if it is the locked one and says it as an SPDX expression."""
    try:
        found = metadata(name)
    except PackageNotFoundError:
        return None
    return found.get("License-Expression") if found["Version"] == version else None


def notes(version: str, changelog: str) -> str:
    """
    The chapter of one version; before it has one, what is unreleased, which is said.

    Raises:
        CannotRelease: There is neither.
    """
    chapters = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    by_title = {
        chapter.partition("\n")[0].strip(): chapter.partition("\n")[2].strip() for chapter in chapters
    }
    for title, text in by_title.items():
        if re.match(rf"\[?{re.escape(version)}\]?(\s|$)", title):
            return f"# {version}\n\n{text}\n"
    if text := by_title.get("Unreleased"):
        return f"# {version} (not released)\n\n{text}\n"
    raise CannotRelease(f"CHANGELOG.md has no chapter {version}, and nothing unreleased.")


def charts(out: Path, at: int) -> None:
    """Package each chart as Helm does, but for times and owners, which are fixed."""
    for description in sorted((TOP / "charts").glob("*/Chart.yaml")):
        chart = yaml.safe_load(description.read_text(encoding="utf-8"))
        folder, packed = description.parent, io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as package:
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                entry = tarfile.TarInfo(f"{chart['name']}/{file.relative_to(folder).as_posix()}")
                entry.size, entry.mtime, entry.mode = file.stat().st_size, at, 0o644
                with file.open("rb") as content:
                    package.addfile(entry, content)
        name = f"{chart['name']}-{chart['version']}.tgz"
        (out / name).write_bytes(gzip.compress(packed.getvalue(), mtime=at))


def release(out: Path) -> list[Path]:
    """Make all of it in *out*, which is replaced; return the files."""
    about, at = project(), epoch()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        distributions(made, at)
        stem = f"{about['name']}-{about['version']}"
        (made / f"{stem}.cdx.json").write_text(bill_of_materials(at), encoding="utf-8")
        changelog = (TOP / "CHANGELOG.md").read_text(encoding="utf-8")
        (made / f"{stem}.md").write_text(notes(about["version"], changelog), encoding="utf-8")
        charts(made, at)
        files = sorted(made.iterdir())
        sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
        (made / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(made, out)
    return sorted(out.iterdir())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    parser.add_argument("--out", type=Path, default=TOP / "dist")
    try:
        for file in release(parser.parse_args().out):
            print(f"{file.stat().st_size:>10}  {file.name}")
    except CannotRelease as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
