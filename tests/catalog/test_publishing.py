"""Files are proposals: what a start publishes, what it refuses, and what a running process follows."""

import shutil
from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
from structlog.testing import capture_logs

from broker.catalog.faults import CatalogRefused
from broker.catalog.file_sets import Files
from broker.catalog.publishing import Publisher
from broker.catalog.source import CatalogSource, newest_catalog
from broker.catalog.watching import FileWatch
from broker.domain.operators import Deed, Operator
from broker.lifecycle.administration.catalog import CatalogAdministration
from broker.shipped import shipped
from broker.store import instances, tables
from tests.store.nouns import an_instance

pytestmark = pytest.mark.anyio
STORAGE = "azure-storage-account"


@pytest.fixture
def folder(tmp_path):
    """The shipped storage account, to be edited."""
    shutil.copytree(shipped("catalog") / "storage", tmp_path / "catalog" / "storage")
    return tmp_path / "catalog"


def edit(folder, old, new):
    (file,) = folder.glob("*/azure-storage-account.yaml")
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def a_deed(reason="A test.", **changes) -> Deed:
    return Deed(Operator("alice", may_act=True), reason, **changes)


DESCRIBED = "description: "
BETTER = "description: Better. "


class Process:
    """What one broker process does about the catalog."""

    def __init__(self, database, folder, **changes) -> None:
        self.counted = []
        self.catalog = CatalogSource(database, interval=timedelta(milliseconds=20))
        self.publisher = Publisher(database, self.catalog, also=changes.pop("also", None))
        files = Files(folder, **changes)
        self.operators = CatalogAdministration(database, self.catalog, self.publisher)
        self.files = FileWatch(
            database, self.publisher, self.catalog, files,
            settles=timedelta(milliseconds=1), refusals_counted=self.counted.append,
        )  # fmt: skip

    @classmethod
    async def started(cls, database, folder, **changes):
        process = cls(database, folder, **changes)
        await process.files.start()
        return process

    @property
    def revision(self) -> int:
        return self.catalog.current().revision

    def offering(self, name=STORAGE):
        return next((one for one in self.catalog.current().offerings if one.name == name), None)


async def test_a_first_start_publishes_and_a_second_one_does_not(database, folder):
    first = await Process.started(database, folder)
    second = await Process.started(database, folder)

    assert first.revision == second.revision == 1
    assert first.catalog.current() == second.catalog.current()
    assert first.catalog.current().published_at is not None


async def test_two_replicas_that_start_at_once_publish_once(database, folder):
    started = []

    async def start():
        started.append(await Process.started(database, folder))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(start)

    assert [process.revision for process in started] == [1, 1, 1, 1]


async def test_a_replica_of_the_last_release_does_not_take_the_new_catalog_back(database, folder, tmp_path):
    old = shutil.copytree(folder, tmp_path / "old")
    await Process.started(database, old)
    edit(folder, DESCRIBED, BETTER)
    await Process.started(database, folder)

    restarted = await Process.started(database, old)

    assert restarted.revision == 2
    assert restarted.offering().description.startswith("Better. ")
    assert "the files here were published before and replaced since" in await restarted.files.note()


async def test_the_old_release_does_not_come_back_when_something_was_withdrawn_meanwhile(
    database, folder, tmp_path
):
    old = shutil.copytree(folder, tmp_path / "old")
    await Process.started(database, old)
    edit(folder, DESCRIBED, BETTER)
    newer = await Process.started(database, folder)
    await newer.operators.withdraw(a_deed(), STORAGE)

    restarted = await Process.started(database, old)

    assert restarted.revision == 3
    assert restarted.offering().description.startswith("Better. ")
    assert restarted.offering().withdrawn


async def test_a_release_that_makes_another_catalog_of_the_same_files_publishes_it_and_the_older_one_does_not(
    database, folder, monkeypatch
):
    await Process.started(database, folder)
    newer_release = Process(database, folder)
    read_anew = newer_release.publisher._merged

    def merged(*given):
        catalog, faults = read_anew(*given)
        offerings = (replace(one, description="Read anew.") for one in catalog.offerings)
        return replace(catalog, offerings=tuple(offerings)), faults

    monkeypatch.setattr(newer_release.publisher, "_merged", merged)
    await newer_release.files.start()

    older_release = await Process.started(database, folder)

    assert newer_release.revision == older_release.revision == 2
    assert older_release.offering().description == "Read anew."


async def test_what_a_release_published_that_kept_no_files_is_followed_by_what_the_files_say(
    database, folder
):
    await Process.started(database, folder)
    async with database.transaction() as tx:
        old_release = {"sources": None, "offerings": None, "plans": None}
        await tx.execute(tables.catalog_revisions.update().values(**old_release))
        await tx.execute(tables.catalog_file_sets.delete())

    upgraded = await Process.started(database, folder)

    assert upgraded.revision == 2
    assert upgraded.offering() is not None


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("name: standard-zrs", "name: zrs", "is now called 'zrs'"),
        ("description: ", "descriptoin: ", "is not known to this version"),
    ],
)
async def test_what_is_refused_leaves_the_published_revision_in_force_and_says_why(
    database, folder, old, new, why
):
    await Process.started(database, folder)
    edit(folder, old, new)

    restarted = await Process.started(database, folder)

    assert restarted.revision == 1
    assert restarted.offering() is not None
    assert any(why in fault.message for fault in restarted.files.refused)
    assert why in await restarted.files.note()
    assert restarted.counted[-1] == len(restarted.files.refused) > 0


async def test_without_anything_published_a_start_with_a_fault_tells_all_of_them_and_ends(database, folder):
    edit(folder, "bindable: ", "bindabel: ")

    with pytest.raises(CatalogRefused) as refused:
        await Process.started(database, folder)

    assert {fault.path for fault in refused.value.faults} >= {"bindabel", "bindable"}
    assert (await newest_catalog(database)).revision == 0


async def test_what_was_refused_is_published_once_it_is_mended_even_if_it_takes_another_start(
    database, folder
):
    await Process.started(database, folder)
    in_use = an_instance(service_offering_id=(await newest_catalog(database)).offerings[0].id)
    async with database.transaction() as tx:
        await instances.add(tx, in_use)
    emptied = await Process.started(database, folder, chosen=("none",))
    (fault,) = emptied.files.refused
    async with database.transaction() as tx:
        await tx.execute(tables.service_instances.delete())

    again = await Process.started(database, folder, chosen=("none",))

    assert "1 living instance of it is left; withdraw it instead" in fault.message
    assert (again.revision, again.catalog.current().offerings) == (2, ())
    assert "nothing can be ordered" in await again.files.note()


async def test_what_was_refused_is_not_tried_again_once_other_files_were_published_after_it(
    database, folder, monkeypatch, tmp_path
):
    await Process.started(database, folder)
    async with database.transaction() as tx:
        await instances.add(
            tx, an_instance(service_offering_id=(await newest_catalog(database)).offerings[0].id)
        )
    emptied = await Process.started(database, folder, chosen=("none",))
    edit(folder, DESCRIBED, BETTER)
    await Process.started(database, folder)
    async with database.transaction() as tx:
        await tx.execute(tables.service_instances.delete())
    monkeypatch.setattr("broker.catalog.watching._AGAIN_AFTER_S", -1.0)

    await emptied.files.look()

    assert (await newest_catalog(database)).revision == 2
    assert "replaced since" in await emptied.files.note()
    assert emptied.counted[-1] == 0


async def test_an_order_between_the_guards_look_and_the_publication_is_seen(database, folder, monkeypatch):
    process = await Process.started(database, folder)
    looked = process.publisher._sources

    async def ordered_meanwhile(*given):
        found = await looked(*given)
        write = process.publisher._publish

        async def publish(*rest):
            async with database.transaction() as tx:
                await instances.add(tx, an_instance(service_offering_id=process.offering().id))
            return await write(*rest)

        monkeypatch.setattr(process.publisher, "_publish", publish)
        return found

    monkeypatch.setattr(process.publisher, "_sources", ordered_meanwhile)
    emptied = FileWatch(
        database, process.publisher, process.catalog, Files(folder, ("none",)), settles=timedelta(0)
    )
    await emptied.start()

    assert "1 living instance of it is left" in emptied.refused[0].message
    assert process.revision == 1


async def test_files_that_change_while_a_process_runs_are_published_without_a_restart_and_back_again(
    database, folder, tmp_path
):
    process = await Process.started(database, folder)
    original = shutil.copytree(folder, tmp_path / "original")

    edit(folder, DESCRIBED, BETTER)
    await process.files.look()
    better = process.offering().description
    shutil.copytree(original, folder, dirs_exist_ok=True)
    await process.files.look()

    assert better.startswith("Better. ")
    assert not process.offering().description.startswith("Better. ")
    assert process.revision == 3


async def test_a_refused_change_of_files_is_over_once_they_are_as_before(database, folder):
    process = await Process.started(database, folder)
    edit(folder, DESCRIBED, "descriptoin: ")
    await process.files.look()
    told = await process.files.note()
    edit(folder, "descriptoin: ", DESCRIBED)

    await process.files.look()

    assert "azure-storage-account.yaml:" in told
    assert await process.files.note() is None
    assert process.counted[-1] == 0
    assert process.revision == 1


async def test_files_that_could_not_be_read_for_a_while_are_not_proposed_anew(database, folder, tmp_path):
    process = await Process.started(database, folder)
    edit(folder, DESCRIBED, BETTER)
    await process.files.look()
    await process.operators.roll_back(a_deed(), 1)
    away = folder.rename(tmp_path / "away")
    folder.touch()
    await process.files.look()
    told = await process.files.note()
    folder.unlink()
    away.rename(folder)

    await process.files.look()

    assert "were refused" in told
    assert await process.files.note() is None
    assert process.revision == 3
    assert not process.offering().description.startswith("Better. ")


async def test_a_replica_of_the_last_release_whose_files_come_late_does_not_take_the_new_catalog_back(
    database, folder, tmp_path
):
    old = shutil.copytree(folder, tmp_path / "old")
    await Process.started(database, old)
    edit(folder, DESCRIBED, BETTER)
    await Process.started(database, folder)
    away = old.rename(tmp_path / "away")
    old.touch()
    restarted = await Process.started(database, old)
    old.unlink()
    away.rename(old)

    await restarted.files.look()

    assert restarted.revision == 2
    assert restarted.offering().description.startswith("Better. ")
    assert "the files here were published before and replaced since" in await restarted.files.note()


async def test_files_that_are_being_written_are_left_alone_until_they_rest(database, folder, monkeypatch):
    process = await Process.started(database, folder)
    read = Files.read

    def and_write_on(files):
        found = read(files)
        edit(folder, DESCRIBED, BETTER)
        return found

    edit(folder, DESCRIBED, BETTER)
    monkeypatch.setattr(Files, "read", and_write_on)
    await process.files.look()
    before = process.revision
    monkeypatch.undo()
    await process.files.look()

    assert (before, process.revision) == (1, 2)


async def test_a_running_replica_takes_over_what_another_one_publishes(database, folder):
    process = await Process.started(database, folder)
    before = await process.catalog.refresh()
    edit(folder, DESCRIBED, BETTER)
    await Process.started(database, folder)

    after = await process.catalog.refresh()

    assert (before, after) == (False, True)
    assert process.revision == 2


async def test_before_the_first_start_nothing_is_offered(database):
    assert (await newest_catalog(database)).offerings == ()


async def test_a_process_is_woken_by_a_publication_and_keeps_up_until_it_is_stopped(database, folder):
    process = await Process.started(database, folder)
    process.catalog._interval = timedelta(minutes=10)
    edit(folder, DESCRIBED, BETTER)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(process.catalog.run)
            await anyio.sleep(0.05)  # it has looked for itself by now; else it needs no waking
            await Process.started(database, folder)
            while process.revision < 2:
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()

    assert process.offering().description.startswith("Better. ")


async def test_what_a_catalog_is_prepared_for_is_done_before_it_is_served(database, folder):
    process = Process(database, folder)
    seen = []
    process.catalog.prepare(lambda one: seen.append((one.revision, process.revision)))

    await process.files.start()

    assert seen == [(0, 0), (1, 0)]


@pytest.mark.parametrize(
    ("chosen", "offered"),
    [
        (("all",), [STORAGE, "azure-storage-blob-container", "azure-storage-blob"]),
        (("none",), []),
        ((STORAGE,), [STORAGE]),
    ],
)
async def test_built_in_offerings_are_switched_on_by_name(database, folder, chosen, offered):
    process = await Process.started(database, folder, chosen=chosen)

    assert [one.name for one in process.catalog.current().offerings] == offered


async def test_an_unknown_built_in_offering_is_named_with_those_that_there_are(folder):
    with pytest.raises(CatalogRefused, match=f"no built-in offering 'azure-redis'; there are {STORAGE}"):
        Files(folder, ("azure-redis",)).read()


async def test_a_warning_hinders_nothing_and_is_logged_with_its_revision(database, folder):
    template = folder / "storage" / "account.json"
    template.write_text(template.read_text().replace("2026-09-01", "2031-01-01"))

    with capture_logs() as logged:
        process = await Process.started(database, folder)

    told = [line for line in logged if "this was told" in line["event"]]
    assert process.revision == 1
    assert {line["revision"] for line in told} == {1}
    assert any(
        "Microsoft.Storage/storageAccounts at 2031-01-01 has no model file" in line["fault"] for line in told
    )
