import signal
import socket
import subprocess
import sys

import pytest

from ops.local.process import Identity, port_is_free


@pytest.fixture
def sleeper(tmp_path):
    mark = f"--mark={tmp_path}"
    code = "import time; print('up', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code, mark], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # until then it may be between two programs, with no command line at all
        yield process, Identity(mark)
        process.kill()


def test_a_process_is_found_by_its_mark_alone(sleeper, tmp_path):
    """Else `stack down` would miss its servers after a reboot of the terminal, or hit a stranger's."""
    process, identity = sleeper
    assert identity.find() == process.pid
    assert Identity(f"--mark={tmp_path}-other").find() is None
    assert Identity(f"--mark={str(tmp_path)[:-1]}").find() is None


def test_a_signal_never_reaches_another_process(sleeper, tmp_path):
    """Else a pid that the kernel gave to somebody else would be killed in place of our dead server."""
    process, identity = sleeper
    stranger = Identity(f"--mark={tmp_path}-other")
    stranger.send(process.pid, signal.SIGKILL)
    assert stranger.end(process.pid, signal.SIGKILL, 1)
    assert process.poll() is None
    assert identity.end(process.pid, signal.SIGTERM, 10)
    assert identity.find() is None


def test_an_ended_process_is_not_found_before_its_parent_collects_it(sleeper):
    """Else a crashed server would look alive for as long as its parent does not ask."""
    process, identity = sleeper
    process.send_signal(signal.SIGKILL)
    assert identity.end(process.pid, signal.SIGTERM, 10)
    assert not identity.matches(process.pid)


def test_a_listening_port_is_not_free():
    """Else a server would be started on a port that another program answers."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert not port_is_free(other.getsockname()[1])
