import multiprocessing
import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.errors import DarkroomError, ServiceError, StorageError
from pipeline.local.store import Store


@pytest.fixture
def store(tmp_path):
    opened = Store(str(tmp_path))
    yield opened
    opened.close()


def test_a_record_is_found_by_name_and_by_arn(store):
    store.add("model", "m", {"x": [1]}, "Ready", "arn:m")
    assert store.get("model", "m").body == {"x": [1]}
    assert store.by_arn("arn:m").name == "m"


def test_a_second_record_of_that_name_is_refused(store):
    store.add("model", "m", {})
    with pytest.raises(ServiceError) as caught:
        store.add("model", "m", {})
    assert caught.value.code == "ResourceInUse"


def test_records_are_listed_by_a_member_of_their_bodies(store):
    for name, parent in (("a", "x"), ("b", "y"), ("c", "x")):
        store.add("job", name, {"Parent": parent, "Value": 0.12345678901234567, "Hidden": 1})
    store.add("job", "d", {})
    store.add("other", "e", {"Parent": "x"})
    members = ("Value", "Missing", "Parent")
    found = store.list_where("job", "Parent", "x", members)
    assert [record.name for record in found] == ["c", "a"]
    assert found[0].body == {"Value": 0.12345678901234567, "Parent": "x"}
    assert store.list_where("job", "Parent", "x' OR '1'='1", members) == []


def test_a_listing_that_is_asked_for_again_has_what_was_written_meanwhile(store, tmp_path):
    """Here, and by another process."""

    def listed():
        return {record.name: record.body["Value"] for record in store.list_where("job", "P", "x", ("P", "Value"))}

    store.add("job", "a", {"P": "x", "Value": [1]})
    assert listed() == listed() == {"a": [1]}
    store.change("job", "a", {"Value": [2]})
    assert listed() == {"a": [2]}
    other = Store(str(tmp_path))
    other.add("job", "b", {"P": "x", "Value": [3]})
    assert listed() == {"a": [2], "b": [3]}
    store.close()
    other.remove("job", "a")
    assert listed() == {"b": [3]}
    other.close()


def test_who_changes_a_listed_body_changes_no_other(store):
    store.add("job", "a", {"P": "x", "Value": [1]})
    store.list_where("job", "P", "x", ("P", "Value"))[0].body["Value"].append(2)
    assert store.list_where("job", "P", "x", ("P", "Value"))[0].body["Value"] == [1]


def test_what_does_not_exist_is_an_error_everywhere(store):
    for call in (lambda: store.get("model", "m"), lambda: store.by_arn("a"), lambda: store.remove("model", "m")):
        with pytest.raises(ServiceError) as caught:
            call()
        assert caught.value.code == "ResourceNotFound"


def test_a_change_merges_and_only_happens_from_the_expected_status(store):
    store.add("job", "j", {"a": 1}, "InProgress")
    assert store.change("job", "j", {"b": 2}, "Stopped", expect=["InProgress"]).body == {"a": 1, "b": 2}
    with pytest.raises(ServiceError) as caught:
        store.change("job", "j", {"b": 3}, "Completed", expect=["InProgress"])
    assert caught.value.code == "ConflictException"
    assert store.get("job", "j").status == "Stopped"


def test_a_failed_transaction_leaves_nothing_behind(store):
    with pytest.raises(KeyError), store.transaction():
        store.add("job", "j", {})
        raise KeyError
    assert store.find("job", "j") == []


def count_up(home, times):
    store = Store(home)
    for _ in range(times):
        with store.transaction():
            value = store.get("counter", "c").body["n"]
            store.change("counter", "c", {"n": value + 1})
    store.close()


def test_processes_that_write_at_once_lose_no_update(store):
    store.add("counter", "c", {"n": 0})
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=count_up, args=(store.home, 50)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert store.get("counter", "c").body["n"] == 200


def test_processes_that_create_the_store_at_once_all_succeed(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=Store, args=(str(tmp_path / "new"),)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]


def test_threads_that_create_the_store_at_once_all_succeed(tmp_path):
    """As connections of the local server do; forty times, as one is refused only now and then."""

    def create(home, together):
        together.wait()
        made = Store(home)
        made.close()

    with ThreadPoolExecutor(6) as pool:
        for number in range(40):
            together = threading.Barrier(6)
            for each in [pool.submit(create, str(tmp_path / str(number)), together) for _ in range(6)]:
                each.result()


def test_a_newer_schema_is_refused_with_a_way_out(tmp_path):
    database = sqlite3.connect(tmp_path / "store.sqlite3")
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(DarkroomError, match="schema 99"):
        Store(str(tmp_path))


def test_a_file_that_is_no_database_gives_one_clear_line(tmp_path):
    (tmp_path / "store.sqlite3").write_bytes(os.urandom(5000))
    with pytest.raises(StorageError, match=r"store\.sqlite3"):
        Store(str(tmp_path))
