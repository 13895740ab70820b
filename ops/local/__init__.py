"""Real MySQL, MariaDB and Kafka servers on this machine, without Docker: install, start, stop."""
