"""The unmodified pynq package drives the Verilated RTL through PYNQ.remote."""

from __future__ import annotations

import os
import subprocess

import pytest

from virtual_boards import CORES, ROOT, environment, host, passes, serve
from weft.backend.pynq.load import one_at_a_time

pytestmark = [pytest.mark.sim, pytest.mark.slow]

def test_products_equal_the_emulator_and_move_only_inputs_and_outputs(served):
    passes(
        served,
        """
backend = open_board()
assert type(backend.loaded.ip).__name__ == "WeftAccelerator"
assert 99 < backend.clock_mhz < 100.1, backend.clock_mhz
program = product(backend.config)
backend.load(program)
moved = [4096 * -(-sum(s.end - s.offset for s in specs.values()) // 4096)
         for specs in (program.inputs, program.outputs)]
for seed in range(3):
    before = counts(backend)
    same(backend, program, seed)
    after = counts(backend)
    spent = {name: after[name] - before.get(name, 0) for name in after}
    assert spent["register_reads"] + spent["register_writes"] <= 12, spent
    assert [spent["buffer_bytes_written"], spent["buffer_bytes_read"]] == moved, (spent, moved)
assert backend.counters()["cycles"] > 0
backend.close()
""",
    )


def test_memory_is_that_of_the_emulator(served):
    passes(
        served,
        """
import numpy as np
backend = open_board()
program = product(backend.config, 5, 17, 9)
backend.load(program)
same(backend, program, 4)
with EmulatorBackend(program.config) as emulator:
    emulator.load(program)
    rng = np.random.default_rng(4)
    emulator.run({n: rng.integers(-128, 128, s.shape, np.int8) for n, s in program.inputs.items()})
    assert backend.memory() == emulator.memory()
""",
    )


def test_plain_overlay_binds_the_driver_by_its_entry_point(zcu104):
    passes(
        zcu104,
        """
import os
os.environ["PYNQ_REMOTE_DEVICES"] = sys.argv[1]
from pynq import Overlay
from weft.backend.pynq.load import one_at_a_time
with one_at_a_time():
    overlay = Overlay(sys.argv[2])
assert type(overlay.weft_0).__name__ == "WeftAccelerator", type(overlay.weft_0)
assert overlay.weft_0.get("id") == 0x57454654
assert int(overlay.weft_0.register_map.id) == 0x57454654
""",
    )


def test_amds_own_self_test_passes(zcu104):
    with one_at_a_time():
        done = subprocess.run(
            [zcu104.python, "-m", "pynq.remote.selftest", "--ip", zcu104.host]
            + ["--bitstream", str(zcu104.bitstream)],
            capture_output=True,
            text=True,
            timeout=120,
            env=environment(),
            cwd=ROOT,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "11 passed, 0 failed, 0 skipped" in done.stdout


def test_a_forgotten_flush_and_a_forgotten_invalidate_are_seen(zcu104):
    passes(
        zcu104,
        """
import numpy as np
backend = open_board()
program = product(backend.config)
for method in ("flush", "invalidate"):
    backend.unload()
    backend.load(program)
    same(backend, program, 1)
    setattr(backend.transport, method, lambda: None)
    try:
        same(backend, program, 2)
    except AssertionError:
        delattr(backend.transport, method)
        continue
    raise SystemExit(f"nobody noticed the missing {method}")
same(backend, program, 3)
""",
    )


def test_dma_outside_live_buffers_is_refused_and_the_next_run_works(zcu104):
    passes(
        zcu104,
        """
from weft.errors import DeviceError
backend = open_board()
program = product(backend.config)
backend.load(program)
placement = backend.transport.placement
placement.buffers[1].freebuffer()
placement.dirty.clear()
try:
    backend.device.run(1 << 40)
except DeviceError as error:
    assert "instruction" in str(error), error
else:
    raise SystemExit("nobody noticed the freed buffer")
backend.unload()
backend.load(program)
same(backend, program, 1)
""",
    )


def test_too_little_memory_is_one_sentence_and_a_smaller_program_runs(small_memory):
    passes(
        small_memory,
        """
from weft.backend.pynq.transport import MemoryExhausted
backend = open_board()
try:
    backend.load(product(backend.config, 200, 400, 200))
except MemoryExhausted as error:
    assert "cma=" in error.remedy and "\\n" not in str(error), error
else:
    raise SystemExit("no error")
program = product(backend.config, 4, 8, 8)
backend.load(program)
same(backend, program, 1)
""",
    )


def test_a_core_error_names_the_instruction_and_a_good_run_follows(zcu104):
    passes(
        zcu104,
        """
from weft.errors import DeviceError
backend = open_board(watchdog_cycles=3000)
program = product(backend.config)
backend.load(program)
good = backend.device.read("arena_bytes")
backend.device.write("arena_bytes", 64)
try:
    same(backend, program, 1)
except DeviceError as error:
    assert error.error_code and "ARENA" in str(error), error
else:
    raise SystemExit("no error")
backend.device.write("arena_bytes", good)
same(backend, program, 2)
""",
    )


def test_wrong_files_are_refused_by_name(zcu104, tmp_path):
    passes(
        zcu104,
        """
import json, shutil
from pathlib import Path
from weft.errors import Mismatch, UsageError
bit, folder = Path(sys.argv[2]), Path(sys.argv[3])
for path in bit.parent.glob(bit.stem + ".*"):
    shutil.copy(path, folder)
def refused(kind, word, path=folder / bit.name):
    try:
        PynqBackend(path, sys.argv[1])
    except kind as error:
        assert word in str(error), error
        return
    raise SystemExit(f"{word} was not refused")
hwh, manifest = (folder / bit.with_suffix(s).name for s in (".hwh", ".json"))
original = hwh.read_text()
hwh.write_text(original + " ")
refused(Mismatch, "SHA-256")
hwh.unlink()
refused(UsageError, "missing")
hwh.write_text(original)
other = json.loads(manifest.read_text())
other["config_hash"] = "0" * 16
manifest.write_text(json.dumps(other))
refused(Mismatch, "config_hash")
same_backend = open_board()
program = product(same_backend.config)
same_backend.load(program)
same(same_backend, program, 1)
""",
        str(tmp_path),
    )


def test_a_bitstream_of_other_bytes_is_refused_by_the_board(zcu104):
    passes(
        zcu104,
        """
from weft.backend.pynq.load import connect
device = connect(sys.argv[1])
def load(name):
    try:
        device._stub["device"].writefile(iter([message(name)]))
    except Exception as error:
        return error.details()
from pynq.remote.remote_device_pb2 import WriteFileRequest
def message(name):
    path = "/sys/class/fpga_manager/fpga0/firmware"
    return WriteFileRequest(file_path=path, data=name.encode())
device.write_file("/lib/firmware/other.bin", b"\\xff" * 4096)
assert "no bitstream of a virtual board" in load("other.bin")
assert "there is no" in load("absent.bin")
backend = open_board()
program = product(backend.config)
backend.load(program)
same(backend, program, 1)
""",
    )


def test_hostile_requests_do_not_end_the_server(zcu104):
    passes(
        zcu104,
        """
from weft.backend.pynq.load import connect
import grpc
device = connect(sys.argv[1])
from pynq.remote import buffer_pb2 as b, mmio_pb2 as m
mmio, buffer = device._stub["mmio"], device._stub["buffer"]
for length in (0, 1 << 40):
    assert not mmio.get_mmio(m.GetMmioRequest(base_addr=0xA0000000, length=length)).status
window = mmio.get_mmio(m.GetMmioRequest(base_addr=0xA0000000, length=4096)).mmio_id
for offset in (4096, 2, 1 << 60):
    assert not mmio.read(m.ReadRequest(mmio_id=window, offset=offset, length=4)).status
assert not mmio.write(m.WriteRequest(mmio_id=window, offset=0, data=b"abc")).status
wild = mmio.get_mmio(m.GetMmioRequest(base_addr=1 << 60, length=4096)).mmio_id
assert "nothing answers" in mmio.read(m.ReadRequest(mmio_id=wild, offset=0, length=4)).msg
for size in (-1, 0, 2**31 - 1):
    assert not buffer.allocate(b.AllocateRequest(size=size, dtype="|u1")).buffer_id
name = buffer.allocate(b.AllocateRequest(size=100, dtype="|u1")).buffer_id
for data in (bytes(101), bytes(4096)):
    request = b.BufferWriteRequest(buffer_id=name, data=data)
    assert buffer.write(iter([request])).msg == "Buffer overflow."
for call, request in ((buffer.flush, b.FlushRequest), (buffer.freebuffer, b.FreeBufferRequest)):
    try:
        call(request(buffer_id="another"))
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.NOT_FOUND
    else:
        raise SystemExit("an unknown buffer was taken")
buffer.freebuffer(b.FreeBufferRequest(buffer_id=name))
backend = open_board()
program = product(backend.config)
backend.load(program)
same(backend, program, 1)
""",
    )


@pytest.mark.timeout(3600)
def test_random_requests_do_not_end_the_server(zcu104):
    """Requests of every kind with random, and nearly right, contents; then a product is right."""
    number = os.environ.get("WEFT_HOSTILE_REQUESTS", "400")
    print(passes(
        zcu104,
        """
import random
from collections import Counter
from google.protobuf.descriptor import FieldDescriptor as F
import grpc
from weft.backend.pynq.load import connect
device = connect(sys.argv[1])
from pynq.remote import buffer_pb2, mmio_pb2, remote_device_pb2
rng = random.Random(int(sys.argv[4]))
ids = ["", "another", "x" * 5000]
numbers = [0, 1, 3, 4, 64, 4096, 0x10000000, 0xA0000000, 1 << 20, (1 << 31) - 1]

def value(field):
    if field.type == F.TYPE_STRING:
        return rng.choice([*ids, "/lib/firmware/a.bin", "/etc/passwd", "../x", "a\\0b", "|u1"])
    if field.type == F.TYPE_BYTES:
        return rng.randbytes(rng.choice([0, 1, 4, 64, 5000]))
    if field.type == F.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type in (F.TYPE_FLOAT, F.TYPE_DOUBLE):
        return rng.uniform(-1e9, 1e9)
    top = 31 if field.type in (F.TYPE_INT32, F.TYPE_SINT32, F.TYPE_SFIXED32, F.TYPE_ENUM) else 32
    if field.type in (F.TYPE_INT64, F.TYPE_UINT64, F.TYPE_FIXED64, F.TYPE_SINT64):
        top = 63
    found = rng.choice([*numbers, rng.getrandbits(top)]) % (1 << top)
    signed = field.type in (F.TYPE_INT32, F.TYPE_INT64, F.TYPE_SINT32, F.TYPE_SINT64)
    return -found if signed and rng.random() < 0.2 else found

def message(kind):
    found = kind()
    for field in kind.DESCRIPTOR.fields:
        if rng.random() < 0.9 and field.type != F.TYPE_MESSAGE and field.label != F.LABEL_REPEATED:
            setattr(found, field.name, value(field))
    return found

calls = []
for module in (buffer_pb2, mmio_pb2, remote_device_pb2):
    for service in module.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            kind = getattr(module, method.input_type.name)
            path = f"/{service.full_name}/{method.name}"
            calls.append((path, kind, method.client_streaming, method.server_streaming,
                          getattr(module, method.output_type.name)))
assert len(calls) > 12, calls
channel = grpc.insecure_channel(f"{sys.argv[1]}:7967")
ends = Counter()
for turn in range(int(sys.argv[3])):
    path, kind, many, streamed, answer = rng.choice(calls)
    shape = ("stream" if many else "unary") + "_" + ("stream" if streamed else "unary")
    call = getattr(channel, shape)(
        path, request_serializer=kind.SerializeToString, response_deserializer=answer.FromString)
    request = message(kind)
    try:
        sent = iter([request, message(kind)]) if many else request
        got = call(sent, timeout=20)
        got = list(got) if streamed else [got]
        for one in got:
            for field in ("buffer_id", "mmio_id"):
                if getattr(one, field, ""):
                    ids.append(getattr(one, field))
        ends["answered"] += 1
    except grpc.RpcError as error:
        assert error.code() not in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL,
                                    grpc.StatusCode.UNAVAILABLE), (path, request, error)
        ends[error.code().name] += 1
print(dict(ends))
stub = device._stub["buffer"]
for name in set(ids):
    try:
        stub.freebuffer(buffer_pb2.FreeBufferRequest(buffer_id=name))
    except grpc.RpcError:
        pass
backend = open_board()
program = product(backend.config)
backend.load(program)
same(backend, program, 1)
""",
        number,
        os.environ.get("WEFT_HOSTILE_SEED", "1"),
    ))


def test_nobody_at_home_is_one_sentence(zcu104):
    passes(
        zcu104,
        """
from weft.errors import DeviceError
try:
    PynqBackend(sys.argv[2], "127.0.0.1", 1)
except DeviceError as error:
    assert "no board answers at 127.0.0.1" in str(error), error
else:
    raise SystemExit("no error")
""",
    )


def test_two_boards_at_once_in_one_process(zcu104, tmp_path):
    with serve("zcu104", host(7), tmp_path, CORES["zcu104"]) as other:
        passes(
            zcu104,
            """
first, second = open_board(), PynqBackend(sys.argv[4], sys.argv[3])
programs = [product(first.config, seed=seed) for seed in (1, 2)]
for seed in range(2):
    for backend, program in zip((first, second), programs):
        backend.load(program)
        same(backend, program, seed)
assert counts(first) != {} and counts(second)["loads"] == 1
""",
            other.host,
            str(other.bitstream),
        )
