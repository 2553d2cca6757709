"""
The other end of a TCP connection, for what goes wrong before a server says a word about databases.

No server of any product: it answers the first packet of TDS, does TLS within packets as TDS wants it, and reads what
comes then. What it says of databases a test has to write out, byte by byte.
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator

PRELOGIN, REPLY, LOGIN = 0x12, 0x04, 0x10
ENCRYPTION_ON, NO_ENCRYPTION = 1, 2


def frame(kind: int, payload: bytes) -> bytes:
    """A packet of TDS that is a whole message ([MS-TDS] 2.2.3.1)."""
    return struct.pack(">BBHHBB", kind, 1, len(payload) + 8, 0, 1, 0) + payload


def prelogin(encryption: int) -> bytes:
    """What a server answers to the first packet: its version, and whether it wants encryption ([MS-TDS] 2.2.6.5)."""
    options = struct.pack(">BHH", 0, 11, 6) + struct.pack(">BHH", 1, 17, 1) + b"\xff"
    return frame(REPLY, options + bytes([16, 0, 0, 0, 0, 0]) + bytes([encryption]))


class Peer:
    """One connection at this end."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None

    def read_packet(self) -> tuple[int, bytes]:
        header = self._exactly(8)
        kind, _, length = struct.unpack(">BBH", header[:4])
        return kind, self._exactly(length - 8)

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Do TLS inside of packets, as TDS 7 does; from then on all goes through it."""
        tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush_in_packets()
                self._incoming.write(self.read_packet()[1])
            else:
                self._flush_in_packets()
                self._tls = tls
                return

    def send(self, data: bytes) -> None:
        if self._tls is None:
            self.connection.sendall(data)
        else:
            self._tls.write(data)
            self.connection.sendall(self._outgoing.read())

    def _flush_in_packets(self) -> None:
        if self._outgoing.pending:
            self.connection.sendall(frame(PRELOGIN, self._outgoing.read()))

    def _exactly(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            if self._tls is None:
                more = self.connection.recv(size - len(read))
            else:
                try:
                    more = self._tls.read(size - len(read))
                except ssl.SSLWantReadError:
                    encrypted = self.connection.recv(65536)
                    if not encrypted:
                        raise EOFError from None
                    self._incoming.write(encrypted)
                    continue
            if not more:
                raise EOFError
            read += more
        return read


@contextlib.contextmanager
def listening(*answers: Callable[[Peer], None]) -> Iterator[int]:
    """Answer one connection after another, each as it is told, on a port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)  # far longer than any of these connections takes to come

        def serve() -> None:
            for answer in answers:
                with contextlib.suppress(OSError, EOFError):
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError, EOFError):
                        connection.settimeout(10)
                        answer(Peer(connection))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.close()
        thread.join(timeout=15)


def server_context(certificate, folder) -> ssl.SSLContext:
    (folder / "server.pem").write_bytes(certificate.certificate_pem + certificate.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


def login_of(packet: bytes) -> dict[str, str]:
    """What a client signs in with, as the packet LOGIN7 has it ([MS-TDS] 2.2.6.4)."""

    def at(offset: int) -> bytes:
        start, length = struct.unpack_from("<HH", packet, offset)
        return packet[start : start + 2 * length]

    # A password's half-bytes are swapped, then each bit of 0xA5 is turned over.
    hidden = bytes(((byte ^ 0xA5) >> 4 | (byte ^ 0xA5) << 4) & 0xFF for byte in at(44))
    return {
        "user": at(40).decode("utf-16-le"),
        "password": hidden.decode("utf-16-le"),
        "program": at(48).decode("utf-16-le"),
        "server": at(52).decode("utf-16-le"),
        "database": at(68).decode("utf-16-le"),
    }


def error(number: int, text: str, *, severity: int = 14) -> bytes:
    """A message of the engine and the end of its answer ([MS-TDS] 2.2.7.10 and 2.2.7.6)."""
    words = text.encode("utf-16-le")
    body = struct.pack("<iBB", number, 1, severity) + struct.pack("<H", len(text)) + words
    body += bytes([0]) + bytes([0]) + struct.pack("<i", 1)
    return frame(REPLY, b"\xaa" + struct.pack("<H", len(body)) + body + done(error=True))


def done(*, error: bool = False) -> bytes:
    return b"\xfd" + struct.pack("<HHQ", 2 if error else 0, 0, 0)
