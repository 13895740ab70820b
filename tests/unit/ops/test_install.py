import os
import xml.etree.ElementTree as ET

import pytest

from ops.local.errors import InstallError
from ops.local.install import POM, database_command, kafka_jars, kafka_version, program


def test_kafka_is_of_the_fourth_generation():
    """Else groups of the new protocol, and a broker without ZooKeeper, would not be there."""
    assert kafka_version().split(".")[0] == "4"
    assert ET.parse(POM).getroot() is not None


def test_a_missing_program_that_cannot_be_installed_is_named_with_its_package(tmp_path, monkeypatch):
    """Else a person without root rights would get a traceback in place of the one command that helps."""
    monkeypatch.setattr("ops.local.install.SEARCH_PATH", str(tmp_path))
    remedy = "is missing; install it: apt-get install --no-install-recommends"
    with pytest.raises(InstallError, match=f"my_print_defaults {remedy} mariadb-server-core mariadb-client-core"):
        database_command("mariadb", tmp_path)
    with pytest.raises(InstallError, match=f"mmdebstrap {remedy} mmdebstrap"):
        database_command("mysql", tmp_path)
    with pytest.raises(InstallError, match=f"mvn {remedy} maven"):
        kafka_jars(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_install_that_was_killed_half_way_is_finished_first(tmp_path, monkeypatch):
    """Else no server could be installed on a machine until a person has found out why."""
    tools = tmp_path / "bin"
    tools.mkdir()
    scripts = {
        "apt-get": f"test -f {tmp_path}/configured || {{ echo 'E: dpkg was interrupted'; exit 1; }}\n"
        f"test $1 = update || {{ echo '#!/bin/sh' > {tools}/wanted; chmod +x {tools}/wanted; }}",
        "dpkg": f'test "$*" = "--configure -a" && touch {tmp_path}/configured',
    }
    for name, script in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setattr("ops.local.install.SEARCH_PATH", str(tools))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert program("wanted", ("wanted-package",)) == str(tools / "wanted")


def test_a_failed_install_leaves_nothing_that_looks_installed(tmp_path, monkeypatch):
    """Else the next run would start half a server."""
    program = tmp_path / "bin" / "mvn"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho '[INFO] trying'\necho '[ERROR] no route to the mirror'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("ops.local.install.SEARCH_PATH", f"{program.parent}{os.pathsep}/bin")
    cache = tmp_path / "cache"
    with pytest.raises(InstallError, match=r"check the network .*\(mvn: \[ERROR\] no route to the mirror\)"):
        kafka_jars(cache)
    assert list(cache.iterdir()) == []
