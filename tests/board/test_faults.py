"""Each fault of a board, its files or its network is one sentence, and the next good run works."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from virtual_boards import CORES, client, host, passes, serve
from weft.bundle import Overlay
from weft.bundle.build import write_virtual
from weft.cli import main
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.random import random_linear
from weft.compiler.lower.program import compile_graph
from weft.virtual import board as system
from weft.virtual.board import FPGA_MANAGER, BusError, VirtualBoard
from weft.virtual.memory import PAGE
from weft_hw.boards import pynq_board

sim = pytest.mark.sim
slow = pytest.mark.slow

GOOD = """
backend = open_board()
program = product(backend.config)
backend.load(program)
same(backend, program, 1)
backend.close()
"""


def save_program(path, m=9, k=30, n=17):
    layer = random_linear(GemmProblem(m, k, n), np.random.default_rng(5))
    compile_graph(layer, CORES["zcu104"]).save(path)
    return path


@sim
@slow
def test_an_upload_whose_client_was_killed_is_made_good(zcu104, tmp_path):
    """AMD's server keeps what came, and pynq uploads only what is not there."""
    program = save_program(tmp_path / "p.weft")
    cut = """
import time
from pathlib import Path
from pynq.pl_server.embedded_device import bit2bin
from pynq.remote.remote_device_pb2 import WriteFileRequest
from weft.bundle.store import program_name, stage
from weft.backend.pynq.load import connect
staged = stage(Path(sys.argv[2]), Path(sys.argv[3]) / "staged")
artefact = Path(sys.argv[4])
files = {
    f"/lib/firmware/{staged.stem}.bin": bit2bin(staged.read_bytes()),
    f"/lib/firmware/{program_name(artefact.stem, artefact.read_bytes())}": artefact.read_bytes(),
}
device = connect(sys.argv[1])
"""
    stop = """
import threading
both = threading.Barrier(2, lambda: print("ready", flush=True))
def half(path, data):
    yield WriteFileRequest(file_path=path, data=data[: len(data) // 2])
    both.wait()
    time.sleep(60)
first, second = files.items()
thread = threading.Thread(target=lambda: device._stub["device"].writefile(half(*first)))
thread.start()
device._stub["device"].writefile(half(*second))
"""
    with client(zcu104, cut + stop, str(tmp_path), str(program)) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    passes(
        zcu104,
        cut
        + """
from weft.deploy.remote import deploy
from weft.program import Program
for path, data in files.items():
    end = time.monotonic() + 10
    while not device.exists_file(path).exists and time.monotonic() < end:
        time.sleep(0.05)
    assert device.read_file(path) == data[: len(data) // 2]
done = deploy(artefact, Program.load(artefact), Path(sys.argv[2]), sys.argv[1], 7967)
assert all(r["uploaded_bytes"] == artefact.stat().st_size for r in done), done
for path, data in files.items():
    assert device.read_file(path) == data
done = deploy(artefact, Program.load(artefact), Path(sys.argv[2]), sys.argv[1], 7967)
assert all(r["uploaded_bytes"] == 0 and r["stored"] in files for r in done), done
""",
        str(tmp_path),
        str(program),
    )


@sim
@slow
def test_a_board_that_goes_away_in_a_run_is_one_sentence_and_comes_back(tmp_path):
    body = """
import numpy as np
from weft.errors import DeviceError
backend = open_board()
program = product(backend.config, 300, 800, 300)
backend.load(program)
backend.transport.expected_cycles = 0  # asks for the status at once, which runs the simulation
inputs = {n: np.zeros(s.shape, np.int8) for n, s in program.inputs.items()}
print("ready", flush=True)
sys.stdin.read()
try:
    backend.run(inputs)
except DeviceError as error:
    assert "check its power" in str(error) and "\\n" not in str(error), error
    backend.close()
    raise SystemExit(0)
raise SystemExit("the board was not gone")
"""
    with (
        serve("zcu104", host(8), tmp_path, CORES["zcu104"]) as board,
        client(board, body) as process,
    ):
        threading.Timer(0.3, board.process.process.kill).start()
        _, errors = process.communicate(timeout=150)
        assert process.returncode == 0, errors
    with serve("zcu104", host(8), tmp_path, CORES["zcu104"]) as board:
        passes(board, GOOD)


@sim
@slow
def test_two_clients_at_once(zcu104, tmp_path):
    first = """
from weft.errors import DeviceError
backend = open_board()
program = product(backend.config)
backend.load(program)
same(backend, program, 1)
print("ready", flush=True)
sys.stdin.read()
try:
    same(backend, program, 2)
except DeviceError as error:
    assert "another client has used the board" in str(error), error
else:
    raise SystemExit("nobody noticed")
for seed in (3, 4):
    same(backend, program, seed)
backend.close()
"""
    second = """
import os, tempfile
from weft.errors import DeviceError
try:
    open_board()
except DeviceError as error:
    assert f"process {sys.argv[3]} uses the board {sys.argv[1]}" in str(error), error
else:
    raise SystemExit("the second was let in")
tempfile.tempdir = sys.argv[4]  # as on another machine, where locks of this one are not seen
"""
    with client(zcu104, first) as process:
        passes(zcu104, second + GOOD, str(process.pid), str(tmp_path))
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    passes(zcu104, GOOD)


@sim
@slow
def test_files_and_programs_of_others_are_refused_and_a_timeout_is_survived(zcu104, tmp_path):
    config = CORES["zcu104"]
    foreign = write_virtual(Overlay(config, pynq_board("kv260"), 100), tmp_path)
    passes(
        zcu104,
        """
import hashlib, json
from pathlib import Path
from weft.errors import DeviceError, Mismatch
from weft_hw.config import preset

def refused(kind, *words, path):
    try:
        PynqBackend(path, sys.argv[1])
    except kind as error:
        assert all(w in str(error) for w in words) and "\\n" not in str(error), error
        return
    raise SystemExit(f"{words} was not refused")

# The overlay of another board with the same processor.
refused(Mismatch, "kv260", "ZCU104", path=sys.argv[3])
# A .hwh of another configuration beside this .bit, both as the manifest says.
bit, folder = Path(sys.argv[2]), Path(sys.argv[4])
data = json.loads(bit.with_suffix(".json").read_text())
for suffix, old, new in ((".bit", b"00:00:00", b"00:00:01"),
                         (".hwh", data["config_hash"].encode(), b"0123456789abcdef")):
    content = bit.with_suffix(suffix).read_bytes()
    assert old in content
    content = content.replace(old, new)
    (folder / bit.with_suffix(suffix).name).write_bytes(content)
    data["files"][bit.with_suffix(suffix).name] = hashlib.sha256(content).hexdigest()
(folder / bit.with_suffix(".json").name).write_text(json.dumps(data))
refused(Mismatch, "stale", "0123456789abcdef", path=folder / bit.name)
# A program for another accelerator.
backend = open_board()
try:
    backend.load(product(preset("tiny-wide")))
except Mismatch as error:
    assert backend.config.hash in str(error) and preset("tiny-wide").hash in str(error), error
else:
    raise SystemExit("the program was taken")
# A run that is given up while the core works; the next one resets it first.
program = product(backend.config)
backend.load(program)
backend.transport.wait, backend.transport.timeout_s = (lambda cycles: False), 0.5
try:
    same(backend, program, 1)
except DeviceError as error:
    assert "not done after 0.5 s" in str(error), error
else:
    raise SystemExit("no timeout")
del backend.transport.wait
same(backend, program, 2)
backend.close()
""",
        str(foreign.bitstream(tmp_path)),
        str(tmp_path),
    )


@sim
@slow
def test_hostile_messages_do_not_end_the_server(zcu104):
    passes(
        zcu104,
        """
import grpc
from weft.backend.pynq.load import connect
from pynq.remote import buffer_pb2 as b, mmio_pb2 as m, remote_device_pb2 as d
device = connect(sys.argv[1])
files, mmio, buffer = (device._stub[n] for n in ("device", "mmio", "buffer"))

def fails(code, call, *arguments):
    try:
        call(*arguments)
    except grpc.RpcError as error:
        assert error.code() is code, (error.code(), error.details())
        return
    raise SystemExit(f"{code} did not come")

def request(path, size=10):
    return d.WriteFileRequest(file_path=path, data=bytes(size))

Code = grpc.StatusCode
fails(Code.RESOURCE_EXHAUSTED, files.writefile, iter([request("/tmp/x", 5 << 20)]))
fails(Code.INVALID_ARGUMENT, files.writefile, iter([request("/tmp/x"), request("/tmp/y")]))
fails(Code.NOT_FOUND, lambda: list(files.readfile(d.ReadFileRequest(file_path="/etc/shadow"))))
assert not files.existsfile(d.ExistsFileRequest(file_path="x" * (1 << 20))).exists
fails(Code.FAILED_PRECONDITION, files.writefile,
      iter([request("/sys/class/fpga_manager/fpga0/firmware", 1 << 20)]))
window = mmio.get_mmio(m.GetMmioRequest(base_addr=0xA0000000, length=4096)).mmio_id
assert not mmio.write(m.WriteRequest(mmio_id=window, offset=0, data=bytes(3 << 20))).status
assert not mmio.write(m.WriteRequest(mmio_id=window, offset=2**64 - 4, data=bytes(4))).status
kept = []
while True:
    found = buffer.allocate(b.AllocateRequest(size=1, dtype="|u1"))
    if not found.buffer_id:
        break
    kept.append(found.buffer_id)
    assert len(kept) <= 1024
assert len(kept) > 1000 and "in use" in found.msg
for name in kept:
    buffer.freebuffer(b.FreeBufferRequest(buffer_id=name))
fails(Code.NOT_FOUND, buffer.freebuffer, b.FreeBufferRequest(buffer_id=kept[0]))
"""
        + GOOD,
    )


@sim
@slow
def test_deploy_says_what_memory_is_needed_before_it_sends_anything(
    small_memory, tmp_path, capfd, monkeypatch
):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("WEFT_BITSTREAMS", str(small_memory.bitstream.parent))
    monkeypatch.delenv("PYNQ_REMOTE_DEVICES", raising=False)
    large = save_program(tmp_path / "large.weft", 200, 400, 200)
    small = save_program(tmp_path / "small.weft", 4, 8, 8)
    def deploy(program, *more):
        command = [sys.executable, "-m", "weft", "deploy", str(program), *more]
        return subprocess.run(
            [*command, "--host", small_memory.host], capture_output=True, text=True, timeout=200
        )

    done = deploy(large)
    assert done.returncode == 4 and "MiB" in done.stdout
    assert "cma=1M" in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert "is loaded" not in small_memory.log.read_text()
    done = deploy(small, "--board", "kv260")
    assert done.returncode == 5, done.stderr
    assert "kv260" in done.stderr and "ZCU104" in done.stderr
    # Overlay and transport found by the command itself.
    done = deploy(small, "--json")
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)["results"][0]
    assert first["stored"].startswith("/lib/firmware/small_")
    assert [first[n] for n in ("board", "label", "transport")] == ["ZCU104", "simulated", "remote"]


def test_a_corrupted_program_is_refused(tmp_path, capfd):
    path = save_program(tmp_path / "p.weft")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for more in ((), ("--host", "192.0.2.7", "--transport", "ssh")):
        with pytest.raises(SystemExit) as ended:
            main(["deploy", str(path), *more])
        assert ended.value.code == 5
        error = capfd.readouterr().err
        assert "SHA-256 does not match" in error and error.count("\n") == 1


def test_a_full_disk_of_the_board_and_half_a_file_of_the_manager(monkeypatch):
    board = VirtualBoard(pynq_board("zcu104"), lambda config: None, PAGE)
    monkeypatch.setattr(system, "_FILES_MAX_BYTES", 1 << 16)
    board.write_file("/a", bytes(1 << 15))
    with pytest.raises(BusError, match="no space left on the virtual board for /b"):
        board.write_file("/b", bytes(1 << 16))
    board.write_file("/a", bytes(1 << 14))
    with pytest.raises(BusError, match="there is no /lib/firmware/half.bin"):
        board.write_file(f"{FPGA_MANAGER}/firmware", b"half.bin")
    assert board.files[f"{FPGA_MANAGER}/state"] == b"write error\n"
