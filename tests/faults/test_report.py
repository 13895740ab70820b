"""What is published of campaigns is what the results file says."""

import json
import re

from tests.faults.report import README, RESULTS, readme_of

LINE = {
    "server": "mysql 9.7", "events": 100, "billed": 90, "duplicates": 8, "quarantined": 2, "lost": 0, "twice": 0,
    "faults": {"database killed": 3, "shard dead for seconds": 1, "commit cut unsent": 2, "commit late": 5},
}  # fmt: skip
STORM = LINE | {"server": "mariadb 10.11", "lost": 1, "faults": {"event repeated in a storm": 40, "database killed": 7}}


def told(lines, what):
    """Return the last cell of a row of the README's table."""
    return re.search(rf"^\| \**{re.escape(what)}\** \|.*\| \**(.*?)\** \|$", readme_of(lines), re.MULTILINE)[1]


def test_counts_are_of_the_server_that_suffered_and_of_what_was_asked_for():
    """Else a server would be said to have stood what another one stood, or a loss would not be published."""
    lines = [LINE, LINE, STORM]
    assert told(lines, "MySQL servers killed") == "8"
    assert told(lines, "MariaDB servers killed") == "7"
    assert told(lines, "commits cut, in seven ways") == "14"
    assert told(lines, "events under storms of repeats") == "100"
    assert told(lines, "events lost, events billed twice") == "1, 0"


def test_the_readme_says_what_the_results_say():
    """Else a reader would be told of campaigns that nobody can find, or not of the last ones."""
    lines = [json.loads(text) for text in RESULTS.read_text().splitlines()]
    assert readme_of(lines) in README.read_text()
