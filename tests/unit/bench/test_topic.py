"""Which part of a topic a comparison takes."""

from bench.topic import prefix


def test_a_prefix_takes_from_each_partition_what_it_has_of_the_log():
    """Else a short run would read one partition, and one worker would do everything."""
    assert prefix({0: 100, 1: 300, 2: 0}, 40) == {0: 10, 1: 30, 2: 0}
    assert prefix({0: 1, 1: 999}, 10) == {0: 1, 1: 10}
    assert prefix({0: 5, 1: 6}, 100) == {0: 5, 1: 6}
