# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs in a container and on this host: fed, read, and ended on every way out. The engine is a stand-in that speaks the real protocol."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, NotThere, RunbookError, TimedOut, Unreachable
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._child_process import Child, Command, Host, Patience
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._docker_exec import Container, ContainerChild
from ansible_collections.tradeops.runbook.tests.support.children import environment
from ansible_collections.tradeops.runbook.tests.support.waiting import until
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.drivers.engine import Engine

ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
WORDS = ["plain", "two words", "$(touch /tmp/never)", "`id`", "-n", "; exit 3", "'\"\\", "a\nb", "é🐘", ""]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory() as folder:  # the path of a socket has at most 107 characters, and that of a test has more
        made = Engine(Path(folder) / "docker.sock", ENVIRONMENT)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{made.path}")
        yield made
        made.close()


@pytest.fixture(params=["host", "container"])
def programs(request: pytest.FixtureRequest, engine: Engine) -> Host | Container:
    return Host() if request.param == "host" else Container("db", "postgres")


def command(*argv: str, reads: bool = False, seconds: float = 20.0, stall: float | None = None) -> Command:
    return Command(argv, ENVIRONMENT, Patience(argv[0], Deadline(seconds, time.monotonic), stall), reads)


def script(code: str, *arguments: str, **more: Any) -> Command:
    return command(sys.executable, "-c", code, *arguments, **more)


def whole(child: Child) -> bytes:
    return b"".join(iter(lambda: child.read(1 << 20), b""))


def gone(pid: int) -> bool:
    """Also when nobody collected it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_arguments_are_data(programs: Host | Container) -> None:
    with programs.start(script("import sys; print(ascii(sys.argv[1:]))", *WORDS)) as child:
        assert whole(child).decode().strip() == ascii(WORDS)
        assert child.finish() == 0


def test_what_it_prints_and_says(programs: Host | Container) -> None:
    code = "import os; os.write(2, b'before '); os.write(1, b'a' * 3000000); os.write(2, b'after'); raise SystemExit(7)"
    with programs.start(script(code)) as child:
        assert whole(child) == b"a" * 3000000
        assert (child.finish(), child.said()) == (7, "before after")


def test_much_on_the_error_stream_blocks_nobody(programs: Host | Container) -> None:
    code = "import os; [os.write(2, b'x' * 65536) for _ in range(40)]; os.write(2, b' the end'); os.write(1, b'done')"
    with programs.start(script(code)) as child:
        assert whole(child) == b"done"
        assert child.finish() == 0 and child.said().endswith("the end") and len(child.said()) <= 8192


def test_what_it_is_fed(programs: Host | Container) -> None:
    code = "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    data = bytes(range(256)) * 20000
    with programs.start(script(code, reads=True)) as child:
        for start in range(0, len(data), 1 << 20):
            child.write(data[start : start + (1 << 20)])
        child.close_input()
        assert whole(child).decode().strip() == hashlib.sha256(data).hexdigest()
        assert child.finish() == 0


def test_question_and_answer(programs: Host | Container) -> None:
    code = "import sys\nfor line in sys.stdin: print(line.strip()[::-1], flush=True)"
    with programs.start(script(code, reads=True)) as child:
        for word in ("one", "two"):
            assert not child.wait_readable(0.05)
            child.write(f"{word}\n".encode())
            assert child.wait_readable() and child.read(100).decode() == word[::-1] + "\n"
        child.close_input()
        assert whole(child) == b"" and child.finish() == 0


def test_a_program_that_reads_no_more(programs: Host | Container) -> None:
    code = "import os, sys; os.close(0); os.write(2, b'enough'); sys.exit(4)"
    with programs.start(script(code, reads=True)) as child:
        with pytest.raises(OSError):
            for _number in range(100):
                child.write(b"x" * (1 << 20))
        assert (child.finish(), child.said()) == (4, "enough")


def test_without_input_it_sees_its_end(programs: Host | Container) -> None:
    with programs.start(script("import sys; print(len(sys.stdin.read()))")) as child:
        assert (whole(child), child.finish()) == (b"0\n", 0)


def test_the_signal_that_ended_it(programs: Host | Container) -> None:
    with programs.start(script("import os; os.kill(os.getpid(), 9)")) as child:
        assert (whole(child), child.finish()) == (b"", -9)


SLEEPER = "import os, time; os.write(1, b'%d\\n' % os.getpid()); time.sleep(60)"


@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("way", ["leave", "error", "stall", "deadline"])
def test_it_ends_with_the_work(programs: Host | Container, reads: bool, way: str) -> None:
    """However the work ends, and also when the program does not notice that nobody feeds it any more."""
    limits = {"stall": {"stall": 0.3}, "deadline": {"seconds": 1.0}}.get(way, {})
    with contextlib.ExitStack() as stack:
        if way != "leave":
            stack.enter_context(pytest.raises({"error": ZeroDivisionError, "stall": TimedOut, "deadline": TimedOut}[way]))
        with programs.start(script(SLEEPER, reads=reads, **limits)) as child:
            pid = int(child.read(100))
            assert not gone(pid)
            if way == "error":
                raise ZeroDivisionError
            if way != "leave":
                child.read(1)
    until(lambda: gone(pid))


def test_a_stall_is_not_the_deadline(programs: Host | Container) -> None:
    with programs.start(script(SLEEPER, stall=0.2)) as child:
        child.read(100)
        with pytest.raises(TimedOut, match="no sign of life for 0.2 s") as caught:
            child.read(1)
    assert caught.value.code == "stalled"
    with programs.start(script("import time; time.sleep(0.7)", stall=0.2)) as child:
        assert child.finish() == 0, "at its end a program may be silent"


def test_a_stalled_reader(programs: Host | Container) -> None:
    with programs.start(script(SLEEPER, reads=True, stall=0.3)) as child, pytest.raises(TimedOut, match="no sign of life"):
        for _number in range(1000):
            child.write(b"x" * (1 << 20))


OWNER = """
import sys, time
from {package}._core.probe import Deadline
from {package}._drivers._child_process import Command, Host, Patience
from {package}._drivers._docker_exec import Container
programs = Host() if sys.argv[1] == "host" else Container("db", "postgres")
patience = Patience("sleeper", Deadline(60, time.monotonic))
child = programs.start(Command([sys.executable, "-c", {sleeper!r}], {environment!r}, patience))
print(child.read(100).decode(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("where", ["host", "container"])
def test_it_ends_when_we_are_killed(where: str, engine: Engine) -> None:
    package = Command.__module__.rpartition("._drivers")[0]
    code = OWNER.format(package=package, sleeper=SLEEPER, environment=ENVIRONMENT)
    with subprocess.Popen([sys.executable, "-c", code, where], stdout=subprocess.PIPE, env=environment()) as owner:
        assert owner.stdout
        pid = int(owner.stdout.readline())
        assert not gone(pid)
        owner.send_signal(signal.SIGKILL)
    until(lambda: gone(pid))


# Only in a container


def test_what_the_engine_is_asked(engine: Engine) -> None:
    with Container("db", "somebody").start(command("true")) as child:
        assert child.finish() == 0
    (asked,) = engine.execs.values()
    assert asked["User"] == "somebody" and asked["Tty"] is False and asked["AttachStdin"] is True
    assert asked["Env"] == [f"{name}={value}" for name, value in ENVIRONMENT.items()] and asked["Cmd"][-1] == "true"


@pytest.mark.parametrize(
    ("name", "kind", "word"), [("unknown", NotThere, "unknown"), ("stopped", Unreachable, "not running"), ("../x?y#z", NotThere, "No such container")]
)
def test_a_container_that_is_not_there(engine: Engine, name: str, kind: type[RunbookError], word: str) -> None:
    with pytest.raises(kind, match=word) as caught:
        Container(name, "postgres").start(command("true"))
    assert caught.value.hint


def test_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(Unreachable, match="does not answer"):
        Container("db", "postgres").start(command("true"))
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
    with pytest.raises(RunbookError, match="local engine"):
        Container("db", "postgres")


@pytest.mark.parametrize("answer", [b"", b'HTTP/1.1 500 X\r\nContent-Length: 21\r\n\r\n{"message": "broken"}', b"no HTTP\r\n\r\n", None])
def test_an_engine_that_answers_badly_or_not_at_all(monkeypatch: pytest.MonkeyPatch, answer: bytes | None) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/docker.sock")
        listener.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")

        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                if answer is None:
                    while connection.recv(65536):  # until it gives up
                        pass
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(TimedOut if answer is None else Unreachable) as caught:
            Container("db", "postgres").start(command("true", seconds=0.5))
        assert caught.value.hint
        thread.join()


def test_a_program_that_is_not_in_the_image(engine: Engine) -> None:
    with Container("db", "postgres").start(command("no-such-program")) as child:
        assert whole(child) == b"" and child.finish() == 127 and "not found" in child.said()


@pytest.mark.parametrize("shell", [name for name in ("dash", "bash", "busybox") if shutil.which(name)])
@pytest.mark.parametrize(
    ("argv", "printed", "status"),
    [
        (("printf", "%s"), b"", 0),
        (("head", "-c", "300000", "/dev/zero"), bytes(300000), 0),
        (("sh", "-c", "printf 7; exit 7"), b"7", 7),
        (("sh", "-c", "kill -KILL $$"), b"", -9),
        (("sh", "-c", "kill -TERM $$"), b"", -15),
        (("no-such-program",), b"", 127),
    ],
)
def test_any_shell_will_do(engine: Engine, tmp_path: Path, shell: str, argv: tuple[str, ...], printed: bytes, status: int) -> None:
    """What is printed and how it ends; and the shell stays until everything has arrived, since the engine throws away what is fetched too late."""
    (tmp_path / "sh").symlink_to(str(shutil.which(shell)))
    found = {**ENVIRONMENT, "PATH": f"{tmp_path}:{ENVIRONMENT['PATH']}"}
    with Container("db", "postgres").start(Command(argv, found, Patience(argv[0], Deadline(20.0, time.monotonic)))) as child:
        assert whole(child) == printed
        assert engine.processes[-1].poll() is None
        assert child.finish() == status
    until(lambda: engine.processes[-1].poll() is not None)
    with Container("db", "postgres").start(Command(["sleep", "60"], found, Patience("sleep", Deadline(20.0, time.monotonic)))):
        until(lambda: len(children(engine.processes[-1].pid)) == 2)  # the program, and what waits for our end
        started = children(engine.processes[-1].pid)
    until(lambda: all(gone(pid) for pid in started))


def children(pid: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("finish", [False, True])
def test_a_program_that_is_ended_from_outside(engine: Engine, finish: bool) -> None:
    """With all of its container, the shell too: whatever came of its output is not the whole."""
    with Container("db", "postgres").start(script(SLEEPER)) as child:
        pid = int(child.read(100))
        engine.processes[-1].kill()
        os.kill(pid, signal.SIGKILL)
        assert finish or whole(child) == b""
        with pytest.raises(Unreachable, match="cut off in its container"):
            child.finish()


def test_a_number_that_may_be_of_another_process_by_now(engine: Engine) -> None:
    """What ended is not killed: its number may have been given away."""
    with Container("db", "postgres").start(script("pass", reads=True)):
        until(lambda: engine.processes[-1].poll() is not None)
    assert len(engine.execs) == 1


def test_an_image_without_a_shell(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="cannot be run in the container: OCI runtime exec failed"):
        Container("db", "postgres").start(Command(["true"], {"PATH": str(tmp_path)}, Patience("true", Deadline(20.0, time.monotonic))))


def test_an_engine_that_goes_away(engine: Engine) -> None:
    with Container("db", "postgres").start(script(SLEEPER)) as child:
        child.read(100)
        assert isinstance(child, ContainerChild)
        child._connection.shutdown(2)
        engine.path.unlink()
        assert child.read(100) == b""
        with pytest.raises(Unreachable):
            child.finish()


class _Silent:
    """Takes the place of a container in tests of frames."""

    def status(self, exec_id: str, patience: Patience) -> int:
        return 0

    def kill(self, exec_id: str, pid: str) -> None:
        raise Unreachable("no engine")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.sampled_from([b"a", b"aab", b"aabaa"]) | st.binary(max_size=40)), max_size=12), st.data())
def test_frames_in_any_pieces(frames: list[tuple[int, bytes]], data: Any) -> None:
    """However the engine cuts its frames, and the socket those: the same bytes come out, and nothing of the mark."""
    mark = data.draw(st.sampled_from(["", "aabaac"]))
    frames = [(stream, body.replace(b"c", b"")) for stream, body in frames]
    end = [(1, f"{mark}007".encode())] if mark else []
    raw = b"".join(bytes([stream, 0, 0, 0]) + len(body).to_bytes(4, "big") + body for stream, body in [(1, b"42\n"), *frames, *end])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)])]
    ours, theirs = socket.socketpair()

    def send() -> None:
        with theirs:
            for piece in pieces[1:]:
                theirs.sendall(piece)

    child = ContainerChild(_Silent(), "id", Patience("x", Deadline(10, time.monotonic)), ours)  # type: ignore[arg-type]  # see _Silent
    thread = threading.Thread(target=send)
    thread.start()
    child.begin(pieces[0], "x", mark)
    with child:
        assert b"".join(iter(lambda: child.read(7), b"")) == b"".join(body for stream, body in frames if stream == 1)
        assert child.said() == b"".join(body for stream, body in frames if stream == 2).decode("utf-8", "replace").strip()
        assert child.finish() == (7 if mark else 0)
    thread.join()


@pytest.mark.parametrize("rest", [b"\x01\0\0", b"\x01\0\0\0\0\0\0\x05ab"])
def test_a_frame_that_is_cut_off(rest: bytes) -> None:
    ours, theirs = socket.socketpair()
    child = ContainerChild(_Silent(), "id", Patience("x", Deadline(10, time.monotonic)), ours)  # type: ignore[arg-type]  # see _Silent
    with theirs:
        theirs.sendall(rest)
    with pytest.raises(Unreachable, match="middle of a frame"), child:
        child.begin(b"\x01\0\0\0\0\0\0\x0242", "x")


# Only on the host


def test_another_system_user() -> None:
    with pytest.raises(InvalidInput, match="no system user"):
        Host("nobody here")
    if os.geteuid() != 0:
        with pytest.raises(RunbookError, match="only by root"):
            Host("root")
        return
    account = pwd.getpwnam("nobody")
    with Host("nobody").start(command("sh", "-c", "id -u; id -G; echo $HOME; pwd")) as child:
        assert whole(child).decode().split() == [str(account.pw_uid), str(account.pw_gid), account.pw_dir, "/"]


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(RunbookError, match="cannot be run: No such file"):
        Host().start(command("/no/such/program"))


def test_what_a_child_has_of_ours() -> None:
    """Its own session, no core file, no descriptor but those it was given."""
    look = "os.getsid(0) == os.getpid(), resource.getrlimit(resource.RLIMIT_CORE)[1], sorted(map(int, os.listdir('/proc/self/fd')))[:-1]"
    code = f"import os, resource; print({look})"
    open_files = len(os.listdir("/proc/self/fd"))
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)
    with Host().start(script(code)) as child:
        assert whole(child).decode().strip() == "True 0 [0, 1, 2]"
    os.close(reading)
    os.close(writing)
    assert len(os.listdir("/proc/self/fd")) == open_files
