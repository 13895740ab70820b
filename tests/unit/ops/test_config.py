import tomllib

from ops.local.config import config_text


def test_the_text_is_toml_that_says_what_was_given():
    """Else a stack would come with a configuration that the engine refuses, in a folder with an odd name."""
    book = 'C:\\odd "folder"/é\U0001f600/book.yaml'
    text = config_text(bootstrap="127.0.0.1:1", topic="events", book=book, shards=[("a", "mysql://root@127.0.0.1:2/b")])
    assert tomllib.loads(text) == {
        "source": {"kind": "kafka", "bootstrap": "127.0.0.1:1", "topic": "events", "group": "billing"},
        "rules": {"book": book},
        "shards": [{"name": "a", "writer": "mysql://root@127.0.0.1:2/b", "readers": ["mysql://root@127.0.0.1:2/b"]}],
    }
