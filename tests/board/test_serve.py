"""A served board lives as a service does: no terminal, signals, bad addresses, idle clients."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

import pytest

from virtual_boards import CORES, ROOT, host, passes, python_for, serve

pytestmark = [pytest.mark.sim, pytest.mark.slow]
PORT = 7967


def reachable(address):
    try:
        socket.create_connection((address, PORT), 1).close()
    except OSError:
        return False
    return True


def heed_signals():
    """Whatever the tests were started with: nohup ignores one, a shell's ``&`` another."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def started(address, *options, prefix=(), **how):
    command = [*prefix, sys.executable, "-m", "weft", "board", "serve", "--board", "zcu104"]
    command += ["--preset", "tiny", "--address", address, *options]
    how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
    how.setdefault("preexec_fn", heed_signals)
    return subprocess.Popen(command, text=True, cwd=ROOT, **how)


def wait_for(condition, process):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end and process.poll() is None, process.communicate()
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_input_is_no_end_and_a_signal_is(number):
    python_for("zcu104")
    address = host(20)
    server = started(address)
    wait_for(lambda: reachable(address), server)
    time.sleep(1)
    assert server.poll() is None, "the end of an input that it was not given"
    server.send_signal(number)
    _, said = server.communicate(timeout=30)
    assert server.returncode == 0 and "Traceback" not in said
    assert not reachable(address), "its child has ended"


def test_a_killed_server_takes_its_child_along():
    python_for("zcu104")
    address = host(21)
    server = started(address)
    wait_for(lambda: reachable(address), server)
    server.kill()
    server.communicate()
    end = time.monotonic() + 20
    while reachable(address):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_nohup_outlives_the_terminal():
    python_for("zcu104")
    address = host(22)
    server = started(address, prefix=["nohup"])
    try:
        wait_for(lambda: reachable(address), server)
        server.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert server.poll() is None and reachable(address)
    finally:
        server.terminate()
        server.communicate(timeout=30)


def test_a_bad_address_says_why():
    python_for("zcu104")
    with socket.socket() as taken:
        taken.bind((host(23), PORT))
        taken.listen()
        for address, why in (
            (host(23), "Address already in use; choose another --port"),
            ("192.0.2.1", "Cannot assign requested address; choose another --address or --port"),
            ("not-a-host.invalid", "cannot listen at not-a-host.invalid:7967: "),
        ):
            server = started(address)
            _, said = server.communicate(timeout=120)
            assert server.returncode == 6 and why in said and "Traceback" not in said, said


def test_an_open_address_is_warned_about():
    python_for("zcu104")
    server = started("0.0.0.0", "--port", "17967")
    line = server.stderr.readline()
    server.terminate()
    server.communicate(timeout=120)
    assert line == (
        "weft: whoever reaches 0.0.0.0:17967 can use this board; there is no password\n"
    )


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    with serve("zcu104", host(24), tmp_path_factory.mktemp("impatient"), CORES["zcu104"],
               stall_s=1) as served:
        yield served


def test_idle_streams_end_and_others_are_served(impatient):
    """More streams than the server has workers, which send nothing, half, or take nothing."""
    passes(impatient, """
import threading, time
import grpc
from pynq.remote import buffer_pb2, buffer_pb2_grpc, remote_device_pb2, remote_device_pb2_grpc
channel = grpc.insecure_channel(f"{sys.argv[1]}:7967")
files = remote_device_pb2_grpc.RemoteDeviceStub(channel)
buffers = buffer_pb2_grpc.RemoteBufferStub(channel)
Write = remote_device_pb2.WriteFileRequest
done = threading.Event()
def silent():
    done.wait(60)
    yield from ()
def half(n):
    yield Write(file_path=f"half{n}", data=b"x")
    done.wait(60)
size = 32 << 20
name = buffers.allocate(buffer_pb2.AllocateRequest(size=size)).buffer_id
calls = [files.writefile.future(silent()) for _ in range(14)]
calls += [files.writefile.future(half(n)) for n in range(8)]
reads = [buffers.read(buffer_pb2.BufferReadRequest(buffer_id=name)) for _ in range(4)]
start = time.monotonic()
request = remote_device_pb2.ExistsFileRequest(file_path="/proc/version")
assert files.existsfile(request, timeout=40).exists
for call in calls:
    assert call.exception(timeout=40) is not None
done.set()
backend = open_board()
program = product(backend.config)
backend.load(program)
same(backend, program, 1)
backend.close()
""")


def test_files_have_quotas(impatient):
    passes(impatient, """
import grpc
from pynq.remote import remote_device_pb2, remote_device_pb2_grpc
files = remote_device_pb2_grpc.RemoteDeviceStub(grpc.insecure_channel(f"{sys.argv[1]}:7967"))
Write = remote_device_pb2.WriteFileRequest
def write(path, data=b"x"):
    files.writefile(iter([Write(file_path=path, data=data)]), timeout=40)
def refused(path, why):
    try:
        write(path)
    except grpc.RpcError as error:
        assert why in error.details(), error.details()
    else:
        raise AssertionError(path[:40])
refused("x" * 5000, "at most 4096 printable characters")
refused("a\\nb", "at most 4096 printable characters")
for n in range(1100):
    try:
        write(f"many{n}")
    except grpc.RpcError as error:
        assert "no space left" in error.details()
        break
assert 900 < n < 1000, n
""")
