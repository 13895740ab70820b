"""Installs what is missing of MariaDB, MySQL, Kafka and Redis, once, into a cache folder.

Owns programs. Must not know how they are configured or where their data lies. Everything that arrives in the
cache is built under another name and renamed when it is whole, so a half install is never used.

MariaDB comes as Debian's core packages (they hold no service, so nothing is left running); MySQL is unpacked
from Debian unstable into a private folder and run through that folder's own loader; Kafka's jars are resolved
by Maven from `pom.xml`.
"""

import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from ops.local.errors import InstallError
from ops.local.lock import folder_lock

Kind = Literal["mariadb", "mysql"]
Say = Callable[[str], None]

COMMAND_SECONDS_MAX: Final = 900  # one download over a slow line
SEARCH_PATH: Final = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
POM: Final = Path(__file__).with_name("pom.xml")
MYSQL_KEPT: Final = ("lib", "lib64", "sbin", "share/mysql")  # under usr/: the rest is clients and documents


def silent(_line: str) -> None:
    """Say nothing."""


def cache_folder() -> Path:
    """Return the folder of installed servers: $BILLING_CACHE, else .cache/servers under the current folder."""
    return Path(os.environ.get("BILLING_CACHE") or ".cache/servers").absolute()


def database_command(kind: Kind, cache: Path, say: Say = silent) -> list[str]:
    """Return the command of a database server (to which options are added), installing it when missing.

    Raises: InstallError, one line that names what to install by hand.
    """
    return _mariadb(say) if kind == "mariadb" else _mysql(cache, say)


def kafka_jars(cache: Path, say: Say = silent) -> Path:
    """Return the folder of a Kafka broker's jars, installing them when missing.

    Raises: InstallError.
    """
    folder = cache / f"kafka-{kafka_version()}"
    if not folder.is_dir():
        with folder_lock(cache, say):
            if not folder.is_dir():
                say(f"installing Kafka {kafka_version()} from Maven Central")
                maven = program("mvn", ("maven",), say)
                with _built(folder) as building:
                    copy = ["dependency:copy-dependencies", f"-DoutputDirectory={building}", "-DincludeScope=runtime"]
                    _run(
                        [maven, "--batch-mode", "--quiet", "--file", str(POM), *copy],
                        "Kafka's jars cannot be had from Maven Central; check the network and ~/.m2/settings.xml",
                    )
    return folder


def kafka_version() -> str:
    """Return the version of Kafka that `pom.xml` names."""
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    for dependency in ET.parse(POM).getroot().iterfind(".//m:dependency", space):  # noqa: S314 - our own file
        if dependency.findtext("m:artifactId", namespaces=space) == "kafka_2.13":
            return dependency.findtext("m:version", namespaces=space) or ""
    raise InstallError(f"{POM}: names no kafka_2.13; restore the file")


def java(say: Say = silent) -> str:
    """Return the path of Java, installing it when missing."""
    return program("java", ("openjdk-17-jre-headless",), say)


def redis_command(cache: Path, say: Say = silent) -> str:
    """Return the path of a Redis server, installing it when missing.

    Debian's redis-tools has the one program that is server and checker, and no service; by its name it knows which it
    is. Raises: InstallError.
    """
    found = shutil.which("redis-server", path=SEARCH_PATH)
    if found is not None:
        return found
    path = cache / "redis" / "redis-server"
    if not path.exists():
        checker = program("redis-check-rdb", ("redis-tools",), say)
        with folder_lock(cache, say):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # a link whose program is gone
            path.symlink_to(checker)
    return str(path)


def _mariadb(say: Say) -> list[str]:
    packages = ("mariadb-server-core", "mariadb-client-core")  # the latter has what mariadb-install-db calls
    program("my_print_defaults", packages, say)
    return [program("mariadbd", packages, say), "--no-defaults"]


def _mysql(cache: Path, say: Say) -> list[str]:
    folder = cache / "mysql"
    if not folder.is_dir():
        with folder_lock(cache, say):
            if not folder.is_dir():
                say("installing MySQL from Debian unstable into a private folder")
                _unpack_mysql(folder, program("mmdebstrap", ("mmdebstrap",), say))
    usr = folder / "usr"
    loader = next(usr.glob("lib/*/ld-linux-*.so.*"), None)
    if loader is None:
        raise InstallError(f"{folder}: MySQL's private folder is damaged; remove it and run again")
    return [
        str(loader),
        "--library-path",
        str(loader.parent),
        str(usr / "sbin/mysqld"),
        "--no-defaults",
        f"--basedir={usr}",
        f"--lc-messages-dir={usr}/share/mysql",
        f"--character-sets-dir={usr}/share/mysql/charsets",
        f"--plugin-dir={usr}/lib/mysql/plugin",
        "--secure-file-priv=",
    ]


def _unpack_mysql(folder: Path, mmdebstrap: str) -> None:
    with _built(folder) as building:
        unpacked = building / "unpacked"
        what = ["--variant=extract", "--include=mysql-server-core", "sid", str(unpacked)]
        _run(
            [mmdebstrap, '--aptopt=Acquire::Check-Valid-Until "false"', *what],  # mirrors' Release files age
            "MySQL cannot be had from Debian unstable; check the network and /etc/apt/sources.list.d",
        )
        for kept in MYSQL_KEPT:
            source = unpacked / "usr" / kept
            if source.exists():
                target = building / "usr" / kept
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)
        shutil.rmtree(unpacked)


@contextmanager
def _built(folder: Path) -> Iterator[Path]:
    """Build a folder under another name; it gets its own name only when all went well."""
    building = folder.with_name(f"{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        yield building
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def program(name: str, packages: tuple[str, ...], say: Say = silent) -> str:
    """Return the path of a program, installing the Debian packages that have it when it is missing.

    Raises: InstallError.
    """
    found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        _install_packages(name, packages, say)
        found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        raise InstallError(f"{name}: not found after installing {' '.join(packages)}; put it on the PATH")
    return found


def _install_packages(name: str, packages: tuple[str, ...], say: Say) -> None:
    remedy = f"{name} is missing; install it: apt-get install --no-install-recommends {' '.join(packages)}"
    apt = shutil.which("apt-get", path=SEARCH_PATH)
    if apt is None or os.geteuid() != 0:
        raise InstallError(remedy)
    say(f"installing {' '.join(packages)}")
    waiting = ["-o", "DPkg::Lock::Timeout=300"]  # another apt may be at work
    install = [apt, "install", "-y", "--no-install-recommends", *waiting, *packages]
    try:
        _run(install, remedy)
    except InstallError:  # the package lists may be missing or old, or an install may have been killed half-way
        dpkg = shutil.which("dpkg", path=SEARCH_PATH)
        if dpkg is not None:
            _run([dpkg, "--configure", "-a"], remedy)
        _run([apt, "update", *waiting], remedy)
        _run(install, remedy)


def _run(command: list[str], remedy: str) -> None:
    """Run a command to its end; on failure raise InstallError with its own first complaint."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(  # noqa: S603 - a list of our own arguments, no shell
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"{remedy} ({command[0]} took over {COMMAND_SECONDS_MAX} s)") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
        complaint = next((line for line in lines if line.startswith("E: ") or "[ERROR]" in line), (lines or [""])[-1])
        raise InstallError(f"{remedy} ({Path(command[0]).name}: {complaint[:300]})")
