"""A client of SignStream that nobody here generated: as much HTTP/2 and protobuf as one stream needs, and nothing that
keeps a caller from asking for what the command line would refuse to send."""

import socket
import ssl
import struct

from securesystemslib.formats import encode_canonical

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK = 1
PATH = "/sealward.v1.SigningService/SignStream"


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, content):
    """A member of a protobuf message with a length: text, bytes or another message."""
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def fields(message):
    """The members of a protobuf message that have a length, by number; others are passed over."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = number()
        length = number()
        if key & 7 == 2:
            found[key >> 3] = message[at : at + length]
            at += length
    return found


def header(name, value):
    """Without compression (RFC 7541, section 6.2.2)."""
    return b"\0" + varint(len(name)) + name.encode() + varint(len(value)) + value.encode()


class Stream:
    """One SignStream, over TLS with a client certificate."""

    def __init__(self, port, ca, certificate, key, patience):
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("localhost", port), timeout=patience)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.send(SETTINGS, 0, 0, b"")
        names = {":method": "POST", ":scheme": "https", ":path": PATH, ":authority": "localhost", "te": "trailers", "content-type": "application/grpc"}
        end_of_headers = 4
        self.send(HEADERS, end_of_headers, 1, b"".join(header(name, value) for name, value in names.items()))
        self.received = b""
        self.count = 0

    def send(self, kind, flags, stream, content):
        self.socket.sendall(struct.pack(">I", len(content))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + content)

    def read(self, length):
        out = b""
        while len(out) < length:
            more = self.socket.recv(length - len(out))
            if not more:
                raise ConnectionError("the daemon ended the stream")
            out += more
        return out

    def frame(self):
        """Takes one frame; what is for the connection is answered here."""
        head = self.read(9)
        kind, flags = head[3], head[4]
        content = self.read(int.from_bytes(head[:3], "big"))
        if kind == DATA:
            self.received += content
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self.send(kind, ACK, 0, content if kind == PING else b"")
        elif kind in (RST_STREAM, GOAWAY):
            raise ConnectionError("the daemon broke the stream off")

    def ask(self, repository, role, signed):
        """One item; None when it is signed, otherwise the rule that denies it."""
        self.count += 1
        payload = encode_canonical(signed.to_dict()).encode()
        request = field(1, repository) + field(2, role) + field(4, payload)
        message = b"\x08" + varint(self.count) + field(2, request)
        self.send(DATA, 0, 1, b"\0" + struct.pack(">I", len(message)) + message)
        while len(self.received) < 5 or len(self.received) < 5 + int.from_bytes(self.received[1:5], "big"):
            self.frame()
        end = 5 + int.from_bytes(self.received[1:5], "big")
        answer, self.received = fields(self.received[5:end]), self.received[end:]
        return fields(answer[3])[1].decode() if 3 in answer else None

    def close(self):
        self.socket.close()
