"""PYNQ.remote for a virtual board: ``python -m weft.virtual.server``, in an environment with pynq.

It is the other end of a :class:`weft.backend.pynq.frames.FramedProcess`, whose ``serve`` starts a
board that lives until that process is closed.

The messages and service classes are those of the installed pynq, 3.1 or 4.0, so client and server
cannot disagree. What each call does follows AMD's server: whole buffers from their first byte, an
empty identifier where memory is short, ``msg`` where something is wrong.
"""

from __future__ import annotations

import errno
import importlib
import json
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc

from weft.backend.pynq.frames import answer_requests
from weft.backend.pynq.identity import COUNTS_FILE
from weft.errors import DeviceError
from weft_hw.boards import pynq_board
from weft_hw.config import AcceleratorConfig

from .board import FPGA_MANAGER, BusError, VirtualBoard
from .memory import OutOfMemory

__all__ = ["STALL_S", "serve"]

_CHUNK = 1 << 20
#: Limits of what a client may ask for.
_MESSAGE_MAX = 4 << 20
_MMIO_MAX_BYTES = 1 << 20
_FILE_MAX_BYTES = 128 << 20
_WINDOWS_MAX = 1 << 16
#: Seconds that a stream waits for its client's next message, or for it to take one.
STALL_S = 30.0
#: Streams and calls at a time; one more waits for these.
_WORKERS = 16
_END = object()


def _pb(name: str) -> tuple[Any, Any]:
    return (
        importlib.import_module(f"pynq.remote.{name}_pb2"),
        importlib.import_module(f"pynq.remote.{name}_pb2_grpc"),
    )


_device, _device_grpc = _pb("remote_device")
_mmio, _mmio_grpc = _pb("mmio")
_buffer, _buffer_grpc = _pb("buffer")


class _Of:
    """A service of one board."""

    def __init__(self, board: VirtualBoard, stall_s: float) -> None:
        self.board, self.stall_s = board, stall_s

    def _paced(self, messages: Iterator[Any], context: Any) -> Iterator[Any]:
        """`messages` of a stream, which is ended where the client lets one wait too long."""
        while True:
            clock = threading.Timer(self.stall_s, context.cancel)
            clock.daemon = True
            clock.start()
            try:
                message = next(messages, _END)
                if message is _END:
                    return
                yield message
            finally:
                clock.cancel()


class _Files(_Of, _device_grpc.RemoteDeviceServicer):  # type: ignore[misc, name-defined]
    def existsfile(self, request: Any, context: Any) -> Any:
        known = request.file_path in self.board.files or request.file_path == COUNTS_FILE
        return _device.ExistsFileResponse(exists=known)

    def readfile(self, request: Any, context: Any) -> Iterator[Any]:
        yield from self._paced(self._readfile(request, context), context)

    def _readfile(self, request: Any, context: Any) -> Iterator[Any]:
        if request.file_path == COUNTS_FILE:
            yield _device.ReadFileResponse(data=json.dumps(self.board.counts).encode())
            return
        data = self.board.files.get(request.file_path)
        if data is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no {request.file_path[:255]}")
            return
        for start in range(0, len(data), _CHUNK):
            yield _device.ReadFileResponse(data=data[start : start + _CHUNK])

    def writefile(self, requests: Iterator[Any], context: Any) -> Any:
        path, parts, size = "", [], 0
        try:
            for request in self._paced(requests, context):
                path = path or request.file_path
                size += len(request.data)
                if request.file_path != path or size > _FILE_MAX_BYTES:
                    context.abort(
                        grpc.StatusCode.INVALID_ARGUMENT,
                        f"a file has one name and at most {_FILE_MAX_BYTES} bytes",
                    )
                parts.append(request.data)
        except grpc.RpcError:
            # The client has gone: what came of a file stays, as on AMD's server.
            if path and not path.startswith(FPGA_MANAGER):
                self.board.write_file(path, b"".join(parts))
            raise
        if path:
            try:
                self.board.write_file(path, b"".join(parts))
            except BusError as error:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return _device.WriteFileResponse()

    def set_bitstream_attrs(self, request: Any, context: Any) -> Any:
        return _device.SetBitstreamAttrsResponse(status=True)


class _Mmio(_Of, _mmio_grpc.MmioServicer):  # type: ignore[misc, name-defined]
    def __init__(self, board: VirtualBoard, stall_s: float) -> None:
        super().__init__(board, stall_s)
        self.windows: dict[str, tuple[int, int]] = {}
        # 3.1 declares the data of a read as a signed word.
        self.signed = _mmio.ReadResponse.DESCRIPTOR.fields_by_name["data"].cpp_type == 1

    def get_mmio(self, request: Any, context: Any) -> Any:
        if not 0 < request.length <= _MMIO_MAX_BYTES or len(self.windows) >= _WINDOWS_MAX:
            message = f"a window has 1..{_MMIO_MAX_BYTES} bytes, not {request.length}"
            return _mmio.GetMmioResponse(status=False, msg=message)
        name = f"mmio-{request.base_addr:x}-{request.length:x}"
        self.windows[name] = (request.base_addr, request.length)
        return _mmio.GetMmioResponse(status=True, mmio_id=name)

    def _address(self, name: str, offset: int, size: int) -> int:
        if name not in self.windows:
            raise BusError(f"there is no window {name[:64]}")
        base, length = self.windows[name]
        if offset % 4 or size % 4 or offset + size > length:
            raise BusError(f"bytes {offset}..{offset + size - 1} are no words of the window")
        return base + offset

    def read(self, request: Any, context: Any) -> Any:
        self.board.counts["mmio_calls"] += 1
        try:
            value = self.board.read(self._address(request.mmio_id, request.offset, 4))
        except BusError as error:
            return _mmio.ReadResponse(status=False, msg=str(error))
        if self.signed and value >= 1 << 31:
            value -= 1 << 32
        return _mmio.ReadResponse(status=True, data=value)

    def write(self, request: Any, context: Any) -> Any:
        self.board.counts["mmio_calls"] += 1
        data = request.data
        try:
            address = self._address(request.mmio_id, request.offset, len(data))
            for i, (word,) in enumerate(struct.iter_unpack("<I", data)):
                self.board.write(address + 4 * i, word)
        except BusError as error:
            return _mmio.WriteResponse(status=False, msg=str(error))
        return _mmio.WriteResponse(status=True)


class _Buffers(_Of, _buffer_grpc.RemoteBufferServicer):  # type: ignore[misc, name-defined]
    def allocate(self, request: Any, context: Any) -> Any:
        with self.board.lock:
            try:
                name = self.board.pool.allocate(request.size)
            except OutOfMemory as error:
                return _buffer.AllocateResponse(msg=str(error))
            self.board.protect()
            return _buffer.AllocateResponse(buffer_id=name)

    def write(self, requests: Iterator[Any], context: Any) -> Any:
        at, name = 0, ""
        for request in self._paced(requests, context):
            with self.board.lock:
                name = name or request.buffer_id
                buffer = self.board.pool.buffers.get(name)
                if buffer is None:
                    return _buffer.BufferWriteResponse(msg="Buffer not found.")
                end = at + len(request.data)
                if end > buffer.size:
                    return _buffer.BufferWriteResponse(msg="Buffer overflow.")
                buffer.cache[at:end] = memoryview(request.data)
                self.board.counts["buffer_bytes_written"] += end - at
                at = end
        return _buffer.BufferWriteResponse()

    def read(self, request: Any, context: Any) -> Iterator[Any]:
        yield from self._paced(self._read(request, context), context)

    def _read(self, request: Any, context: Any) -> Iterator[Any]:
        with self.board.lock:
            buffer = self.board.pool.buffers.get(request.buffer_id)
            data = None if buffer is None else buffer.cache.tobytes()
        if data is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "Buffer not found.")
            return
        for start in range(0, len(data), _CHUNK):
            part = data[start : start + _CHUNK]
            self.board.counts["buffer_bytes_read"] += len(part)
            yield _buffer.BufferReadResponse(data=part)

    def _with(self, request: Any, context: Any, action: Any) -> Any:
        with self.board.lock:
            if request.buffer_id not in self.board.pool.buffers:
                context.abort(grpc.StatusCode.NOT_FOUND, "Buffer not found.")
            return action(request.buffer_id)

    def flush(self, request: Any, context: Any) -> Any:
        self._with(request, context, self.board.pool.flush)
        return _buffer.FlushResponse()

    def invalidate(self, request: Any, context: Any) -> Any:
        self._with(request, context, self.board.pool.invalidate)
        return _buffer.InvalidateResponse()

    def freebuffer(self, request: Any, context: Any) -> Any:
        self._with(request, context, self.board.pool.free)
        with self.board.lock:
            self.board.protect()
        return _buffer.FreeBufferResponse()

    def physical_address(self, request: Any, context: Any) -> Any:
        address = self._with(request, context, self.board.pool.address)
        return _buffer.AddressResponse(address=address)

    def virtual_address(self, request: Any, context: Any) -> Any:
        address = self._with(request, context, self.board.pool.address)
        return _buffer.AddressResponse(address=0x7000_0000_0000 + address)

    def cacheable(self, request: Any, context: Any) -> Any:
        self._with(request, context, lambda name: None)
        return _buffer.CacheableResponse(cacheable=True)


def _require_free(address: str) -> None:
    """Refuse an address that nothing can listen at, with the system's reason.

    Raises
    ------
    DeviceError
        It is in use, not of this machine, not ours to take, or no address.
    """
    host, _, port = address.rpartition(":")
    try:
        places = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, kind, protocol, _, place = places[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        remedy = "choose another --port" if error.errno == errno.EADDRINUSE else (
            "choose another --address or --port"
        )
        raise DeviceError(f"cannot listen at {address}: {error.strerror}", remedy) from None


def serve(board: VirtualBoard, address: str, stall_s: float = STALL_S) -> Any:
    """Start a server of `board` at `address`, for example ``127.0.0.1:7967``.

    Parameters
    ----------
    stall_s : seconds that a stream may wait for its client, after which it is ended

    Raises
    ------
    DeviceError
        Nothing can listen there; the sentence holds the reason.
    """
    _require_free(address)
    options = [
        ("grpc.max_receive_message_length", _MESSAGE_MAX),
        ("grpc.so_reuseport", 0),
    ]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=_WORKERS), options=options)
    _device_grpc.add_RemoteDeviceServicer_to_server(_Files(board, stall_s), server)
    _mmio_grpc.add_MmioServicer_to_server(_Mmio(board, stall_s), server)
    _buffer_grpc.add_RemoteBufferServicer_to_server(_Buffers(board, stall_s), server)
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if not bound:
        raise DeviceError(f"cannot listen at {address}", "choose another --address or --port")
    server.start()
    return server


def main() -> None:
    """Answer requests; boards end with the input."""
    with ExitStack() as held:

        def serve_board(
            board: str,
            address: str,
            libraries: Mapping[str, str],
            cma: int | None,
            stall_s: float = STALL_S,
        ) -> None:
            def library(config: AcceleratorConfig) -> Path:
                if config.hash not in libraries:
                    raise ValueError(
                        f"there is no simulator of {config.name} ({config.hash}); start the board "
                        f"with --preset {config.name}"
                    )
                return Path(libraries[config.hash])

            def log(text: str) -> None:
                print(text, flush=True)

            virtual = VirtualBoard(pynq_board(board), library, cma, log)
            held.callback(virtual.close)
            server = serve(virtual, address, stall_s)
            held.callback(lambda: server.stop(0.5).wait())
            log(f"virtual {board} at {address}")

        answer_requests({"serve": serve_board})


if __name__ == "__main__":
    main()
