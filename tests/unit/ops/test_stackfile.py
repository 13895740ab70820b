import pytest

from ops.local import stack
from ops.local.errors import StackMissingError, StackSettingError
from ops.local.process import PORTS
from ops.local.stackfile import StackFile

NOTHING = {"shards": None, "database": None, "partitions": None, "book": None}


def plan(tmp_path, **asked):
    return StackFile.new(**{**NOTHING, **asked}, buffer_pool_mib=1, kafka_heap_mib=1, cache=tmp_path)


def test_a_stack_comes_back_as_it_was_written(tmp_path):
    """Else a stack would be restarted on other ports or data than it had."""
    planned = plan(tmp_path)
    planned.write(tmp_path)
    assert StackFile.required(tmp_path) == planned
    assert (len(planned.shard_ports), planned.database, planned.partitions) == (4, "mariadb", 8)
    assert all(port in PORTS for port in (*planned.shard_ports, planned.kafka_port))


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"shards": 0}, "--shards 0: must be from 1 to 64"),
        ({"shards": 65}, "--shards 65: must be from 1 to 64"),
        ({"partitions": 0}, "--partitions 0: must be from 1 to 1024"),
        ({"database": "oracle"}, "--database oracle: must be one of mariadb, mysql"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(tmp_path, asked, line):
    """Else a typing error would start hundreds of servers, or fail late with a traceback."""
    with pytest.raises(StackSettingError) as caught:
        plan(tmp_path, **asked)
    assert str(caught.value) == line


def test_a_rulebook_that_is_not_there_is_refused(tmp_path):
    """Else the configuration would name a book that no worker can load."""
    with pytest.raises(StackSettingError, match=r"book\.yaml: no such file; name a rulebook"):
        plan(tmp_path, book=tmp_path / "book.yaml")


@pytest.mark.parametrize("text", ["", "{", '{"database": "mariadb"}', '{"database": 1}'])
def test_a_damaged_stack_file_is_told_not_replaced(tmp_path, text):
    """Else a second stack would be started beside the one whose file was damaged."""
    (tmp_path / "stack.json").write_text(text)
    with pytest.raises(StackSettingError, match=r"stack\.json: .*; restore the file"):
        stack.status(tmp_path)


@pytest.mark.parametrize("act", [stack.status, stack.down, stack.servers])
def test_a_folder_without_a_stack_is_told_with_the_remedy(tmp_path, act):
    """Else `status` in the wrong folder would look like a stack that is down."""
    with pytest.raises(StackMissingError, match="no stack here; start one: billing stack up"):
        act(tmp_path / "none")
    assert not (tmp_path / "none").exists()
