"""A source is a set of files in memory that is bounded and leads nowhere else."""

import os
import socket

import pytest

from broker.catalog import sources
from broker.catalog.faults import CatalogRefused
from broker.catalog.reader import read_catalog, read_sources
from broker.catalog.sources import Source
from broker.shipped import shipped


def faults_of(folder):
    with pytest.raises(CatalogRefused) as refused:
        Source.of_folder("ours", folder)
    return {fault.file: fault.message for fault in refused.value.faults}


def test_a_folder_and_the_same_files_in_memory_are_the_same_catalog():
    folder = shipped("catalog")
    in_memory = Source("sent", {f"{f.parent.name}/{f.name}": f.read_bytes() for f in folder.glob("*/*.*")})

    catalog, faults = read_sources([in_memory])

    assert faults == []
    assert catalog == read_catalog(folder)


def test_two_sources_are_read_together_and_faults_name_the_source(copy):
    postgresql = Source("first", {p: c for p, c in files(copy).items() if p.startswith("postgresql/")})
    copy.replace("azure-storage-blob.yaml", "bindable: true", "bindable: true\ncolour: red")
    storage = Source("second", {p: c for p, c in files(copy).items() if p.startswith("storage/")})

    catalog, faults = read_sources([postgresql, storage])

    assert {offering.name for offering in catalog.offerings} >= {
        "azure-postgresql",
        "azure-storage-account",
    }
    assert [fault.file for fault in faults] == ["second/storage/azure-storage-blob.yaml"]


def test_a_template_of_the_same_name_in_another_source_is_not_taken(copy):
    all_files = files(copy)
    template = all_files.pop("postgresql/server-with-database.json")
    elsewhere = Source("other", {"postgresql/server-with-database.json": template, **only_storage(all_files)})

    _, faults = read_sources([Source("first", without_storage(all_files)), elsewhere])

    assert [str(fault) for fault in faults] == [
        "first/postgresql/server-with-database.json: cannot be read: there is no such file"
    ]


def files(copy):
    return dict(Source.of_folder("copy", copy.folder).files)


def only_storage(some):
    return {path: content for path, content in some.items() if path.startswith("storage/")}


def without_storage(some):
    return {path: content for path, content in some.items() if not path.startswith("storage/")}


@pytest.mark.parametrize(
    "path",
    [
        "../x.yaml",
        "/etc/x.yaml",
        "family/../x.yaml",
        "family/sub/x.yaml",
        "x.yaml",
        "family/x.yml",
        "family/x.txt",
        "family\\x.yaml",
        "family/.x.yaml",
        "family/x\n.yaml",
        "family/x.yaml\n",
        "",
    ],
)
def test_a_file_with_a_path_of_its_own_making_is_refused(path):
    with pytest.raises(CatalogRefused, match="is not at <family>/"):
        Source("sent", {path: b""})


def test_a_source_without_a_proper_name_is_refused():
    with pytest.raises(CatalogRefused, match="is no name for a source"):
        Source("../ours", {})


def test_the_files_of_a_source_cannot_be_changed_behind_its_back():
    given = {"family/a.yaml": b"a: 1"}
    source = Source("sent", given)

    given["../x.yaml"] = b""

    assert list(source.files) == ["family/a.yaml"]


def test_a_source_that_is_too_large_in_all_or_has_too_many_files_is_refused(monkeypatch):
    monkeypatch.setattr(sources, "LARGEST_SOURCE", 2 * 1024 * 1024)
    monkeypatch.setattr(sources, "AT_MOST_FILES", 20)

    with pytest.raises(CatalogRefused, match="larger than 2 MiB"):
        Source("sent", {f"family/{n}.json": b"x" * 200_000 for n in range(11)})
    with pytest.raises(CatalogRefused, match="more than 20 files"):
        Source("sent", {f"family/{n}.json": b"" for n in range(21)})


def test_a_folder_that_is_too_large_is_given_up_before_all_of_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LARGEST_SOURCE", 1024 * 1024)
    (tmp_path / "family").mkdir()
    for number in range(30):
        (tmp_path / "family" / f"{number}.json").write_bytes(b"x" * 200_000)
    read = []
    content = sources._content
    monkeypatch.setattr(sources, "_content", lambda *given: read.append(given) or content(*given))

    assert "larger than 1 MiB" in faults_of(tmp_path)["ours"]
    assert len(read) == 6


def test_the_wrong_folder_is_given_up_soon(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "AT_MOST_ENTRIES", 50)
    for number in range(60):
        (tmp_path / f"{number}.txt").touch()

    assert "more than 50 files and folders" in faults_of(tmp_path)[str(tmp_path)]


def test_a_mounted_config_map_is_read_through_its_links(copy, tmp_path):
    mount = tmp_path / "mount"
    mount.mkdir()
    copy.folder.rename(mount / "..2026_11_23")
    (mount / "..data").symlink_to("..2026_11_23")
    for family in (mount / "..data").iterdir():
        if family.name != "postgresql":
            (mount / family.name).symlink_to(f"..data/{family.name}")
    (mount / "postgresql").mkdir()
    for file in (mount / "..data" / "postgresql").iterdir():
        (mount / "postgresql" / file.name).symlink_to(f"../..data/postgresql/{file.name}")

    assert read_catalog(mount) == read_catalog(shipped("catalog"))


def test_links_that_lead_outside_are_refused_and_not_read(copy, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.yaml").write_text("password: hunter2")
    (copy.folder / "storage" / "link.yaml").symlink_to(tmp_path / "outside" / "secret.yaml")
    (copy.folder / "other").symlink_to(tmp_path / "outside")
    (copy.folder / "storage" / "passwords.json").symlink_to("/etc/passwd")
    (copy.folder / "storage" / "round.json").symlink_to("round.json")
    (copy.folder / "storage" / "nowhere.json").symlink_to("nowhere")

    found = faults_of(copy.folder)

    assert found["storage/link.yaml"] == found["other"] == "leads out of the catalog's folder"
    assert found["storage/passwords.json"] == "leads out of the catalog's folder"
    assert found["storage/round.json"] == "cannot be read: Too many levels of symbolic links"
    assert found["storage/nowhere.json"] == "cannot be read: No such file or directory"
    assert "hunter2" not in str(found)


def test_a_link_that_cannot_be_followed_is_a_fault_of_the_folder_and_no_other(copy):
    (copy.folder / "storage" / "endless").symlink_to("a" * 300)

    assert faults_of(copy.folder)["storage/endless"] == "cannot be read: File name too long"


def test_a_folder_that_contains_itself_ends(copy):
    (copy.folder / "storage" / "again").symlink_to(copy.folder)

    assert any("is not at" in message for message in faults_of(copy.folder).values())


def test_pipes_devices_and_sockets_are_refused_without_waiting(copy):
    os.mkfifo(copy.folder / "storage" / "pipe.yaml")
    (copy.folder / "storage" / "folder.yaml").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(copy.folder / "storage" / "socket.json"))

        found = faults_of(copy.folder)

    assert found["storage/pipe.yaml"] == "is no file"
    assert "cannot be read" in found["storage/socket.json"]
    assert "storage/folder.yaml" not in found
