"""Requests that two readers of HTTP may take for different things, and what RFC 9112 has a careful server do with each.

Each holds a request of its own where a body or a header would be, which nobody must ever answer: its id is SMUGGLED.
"""

from __future__ import annotations

from tests.faults.wire import HOST, POST, chunked, request

SMUGGLED = b"X-Request-ID: smuggled"
ROW = b'{"x":8}'
INNER = request(ROW, SMUGGLED)
# What becomes of a request: 4xx, and the connection ends; an answer, and what follows is read; an answer, and the end.
REFUSED, TAKEN, ENDED = "refused", "taken", "ended"
FREE = "refused or taken"  # both are safe

Hostile = dict[str, tuple[bytes, str]]


def head(*lines: bytes, line: bytes = POST) -> bytes:
    return b"\r\n".join((line, HOST, *lines, b"", b""))


def _chunks(content: bytes = ROW) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)


def _both(*, first: bytes, second: bytes) -> bytes:
    """Both framings. For one of them the smuggled request is the body, for the other it stands behind."""
    return head(first, second) + b"0\r\n\r\n" + INNER


LENGTH, TE = b"Content-Length: %d" % len(ROW), b"Transfer-Encoding: chunked"
HIDING = b"Content-Length: %d" % (5 + len(INNER))

FRAMING: Hostile = {
    "CL.TE": (_both(first=HIDING, second=TE), REFUSED),
    "TE.CL": (_both(first=TE, second=HIDING), REFUSED),
    "CL.0": (_both(first=b"Content-Length: 0", second=TE), REFUSED),
    "a short CL.TE": (_both(first=b"Content-Length: 5", second=TE), REFUSED),
    "TE.TE": (_both(first=TE, second=TE), REFUSED),
    "TE.TE, another name": (_both(first=TE, second=b"Transfer-Encoding: identity"), REFUSED),
    "TE.TE, another name first": (_both(first=b"Transfer-Encoding: x", second=TE), REFUSED),
    **{
        f"TE {value!r}": (head(HIDING, b"Transfer-Encoding:" + value) + b"0\r\n\r\n" + INNER, REFUSED)
        for value in (
            b" chunked", b" xchunked", b" chunked, identity", b" identity", b" identity, chunked", b" gzip, chunked",
            b" chunked, gzip", b" chunked;q=1", b" \x0bchunked", b" chunked\0", b" chun ked", b" 'chunked'", b"",
            b" chunked, chunked", b" ,chunked", b" chunked,", b"\r\n chunked", b"\n chunked", b" x\r\n chunked",
        )
    },
    **{
        f"{name!r}": (head(HIDING, name + b" chunked") + b"0\r\n\r\n" + INNER, REFUSED)
        for name in (
            b"Transfer-Encoding :", b"Transfer-Encoding\t:", b" Transfer-Encoding:", b"\tTransfer-Encoding:",
            b"Transfer-Encoding\0:", b"X: y\rTransfer-Encoding:", b"X: y\nTransfer-Encoding:",
            b"Transfer-Encoding\r\n:",
            b"\x0bTransfer-Encoding:", b"Transfer-Encoding\xa0:", b"Transfer-Encoding",
        )
    },
    "TE alone, not chunked": (head(b"Transfer-Encoding: gzip") + _chunks(), REFUSED),
    "TE alone, gzip before": (head(b"Transfer-Encoding: gzip, chunked") + _chunks(), REFUSED),
    "TE alone, chunked twice": (head(b"Transfer-Encoding: chunked, chunked") + _chunks(), REFUSED),
    "TE alone, folded": (head(b"Transfer-Encoding:\r\n chunked") + _chunks(), REFUSED),
    "TE under HTTP/1.0": (head(TE, line=b"POST /predict HTTP/1.0") + _chunks(), ENDED),
    "TE in capitals": (head(b"TRANSFER-ENCODING: CHUNKED") + _chunks(), TAKEN),
    "TE with white space": (head(b"Transfer-Encoding: \t chunked \t") + _chunks(), FREE),
    "another header than TE": (head(b"Transfer_Encoding: chunked", LENGTH) + ROW, TAKEN),
}  # fmt: skip

LENGTHS: Hostile = {
    **{
        f"lengths {a!r} and {b!r}": (
            head(b"Content-Length: " + a, b"Content-Length: " + b) + ROW + INNER,
            REFUSED,
        )
        for a, b in ((b"7", b"0"), (b"0", b"7"), (b"7", b"7"), (b"7", b"200"), (b"7", b"x"))
    },
    **{
        f"length {value!r}": (head(b"Content-Length:" + value) + ROW, REFUSED)
        for value in (
            b" 7, 7", b" 7,8", b" +7", b" -7", b" -0", b" 0x7", b" 7 7", b" 7;a", b"", b" ", b" 7.0", b" 7e0",
            b" 07x",
            b" seven", b" \xd9\xa7", b" 7\0", b" 7\x0b", b" 1_0", b" '7'", b"\r\n 7", b" 18446744073709551616",
            b" 18446744073709551623", b" 99999999999999999999999999",
        )
    },
    **{
        f"{name!r}": (head(name + b" 7") + ROW, REFUSED)
        for name in (b"Content-Length :", b"Content-Length\t:", b" Content-Length:", b"Content-Length\0:")
    },
    "length 0000007": (head(b"Content-Length: 0000007") + ROW, TAKEN),
    "length with white space": (head(b"Content-Length: \t7 \t") + ROW, TAKEN),
    "length in capitals": (head(b"CONTENT-LENGTH: 7") + ROW, TAKEN),
    "a request as a body": (request(INNER), TAKEN),
    "a request as a body that is refused": (request(INNER, b"Content-Type: text/csv"), TAKEN),
    "a request as the body of GET": (request(INNER, line=b"GET /model HTTP/1.1"), TAKEN),
    "a request as the body of a path that is none": (request(INNER, line=b"POST /x HTTP/1.1"), TAKEN),
    "a request as the body of a method that is none": (
        request(INNER, line=b"DELETE /predict HTTP/1.1"),
        TAKEN,
    ),
    "a request in chunks": (chunked([INNER]), TAKEN),
    "a request in a chunk of each byte": (chunked([INNER[i : i + 1] for i in range(len(INNER))]), TAKEN),
}  # fmt: skip


def _in_chunks(*parts: bytes) -> bytes:
    return head(TE) + b"".join(parts)


CHUNKS: Hostile = {
    **{
        f"a chunk's line {line!r}": (_in_chunks(line, ROW, b"\r\n0\r\n\r\n"), REFUSED)
        for line in (
            b"0x7\r\n", b"+7\r\n", b"-7\r\n", b" 7\r\n", b"7 7\r\n", b"7_\r\n", b"7\n", b"7\r", b"\r\n7\r\n",
            b"seven\r\n",
            b"7\0\r\n", b"\xd9\xa7\r\n", b"10000000000000007\r\n", b"fffffffffffffffff\r\n", b"7;a\nb\r\n",
            b"7;a\rb\r\n",
            b"7;\0\r\n", b"7\x0b;a\r\n", b";a=7\r\n", b"\r\n",
        )
    },
    **{
        f"a chunk's line {line!r} is fine": (_in_chunks(line, ROW, b"\r\n0\r\n\r\n"), TAKEN)
        for line in (
            b"7\r\n", b"0000000000000007\r\n", b"7;a\r\n", b"7;a=b\r\n", b'7;a="b c"\r\n', b'7;a="\xe9";b\r\n',
            b"7;" + b"a" * 900 + b"\r\n",
        )
    },
    "no end of line behind a chunk": (_in_chunks(b"7\r\n", ROW, b"0\r\n\r\n"), REFUSED),
    "a line feed behind a chunk": (_in_chunks(b"7\r\n", ROW, b"\n0\r\n\r\n"), REFUSED),
    "more than a chunk's length": (_in_chunks(b"6\r\n", ROW, b"\r\n0\r\n\r\n"), REFUSED),
    "less than a chunk's length": (_in_chunks(b"8\r\n", ROW, b"\r\n0\r\n\r\n"), REFUSED),
    "a line feed at the end": (_in_chunks(b"7\r\n", ROW, b"\r\n0\r\n\n"), REFUSED),
    "line feeds at the end": (_in_chunks(b"7\r\n", ROW, b"\r\n0\n\n"), REFUSED),
    "a request as a trailer": (
        _in_chunks(b"7\r\n", ROW, b"\r\n0\r\n", INNER.replace(b"POST /predict HTTP/1.1\r\n", b"")),
        REFUSED,
    ),
    "trailers": (_in_chunks(b"7\r\n", ROW, b"\r\n0\r\nA: b\r\nC: d\r\n\r\n"), TAKEN),
    "a trailer that is no header": (_in_chunks(b"7\r\n", ROW, b"\r\n0\r\nA b\r\n\r\n"), REFUSED),
    "a trailer with a space": (_in_chunks(b"7\r\n", ROW, b"\r\n0\r\nA : b\r\n\r\n"), REFUSED),
}  # fmt: skip

LINES: Hostile = {
    **{
        f"{line!r}": (head(LENGTH, line=line) + ROW, REFUSED)
        for line in (
            b"POST /predict ", b"POST", b"post /predict HTTP/1.1", b"Post /predict HTTP/1.1",
            b"POST\t/predict\tHTTP/1.1", b" POST /predict HTTP/1.1", b"POST /predict HTTP/1.1 x",
            b"POST /pre dict HTTP/1.1",
            b"POST /predict http/1.1", b"POST /predict HTTP/11", b"POST /predict HTTP/1.10",
            b"POST /predict HTTP/3.1", b"POST /predict HTTP/x.y", b"POST /predict HTTP/1,1", b"POST /predict HTP/1.1",
            b"POST predict HTTP/1.1", b"POST HTTP/1.1", b"/predict POST HTTP/1.1", b"PO ST /predict HTTP/1.1",
            b"POST /predict\0 HTTP/1.1", b"POST\0 /predict HTTP/1.1", b"POST /predict\x7f HTTP/1.1",
            b"\0POST /predict HTTP/1.1",
            b"POST /predict\r HTTP/1.1", b"POST /predict HTTP/1.1\r", b"NOTHING /predict HTTP/1.1", b"PRI * HTTP/2.0",
            b"GET http://x/ HTTP/1.1\rGET / HTTP/1.1", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\xff\xfe",
        )
    },
    **{
        f"{line!r} is fine": (head(LENGTH, line=line) + ROW, TAKEN)
        for line in (
            b"POST http://x/predict HTTP/1.1", b"POST /predict?a=/../b HTTP/1.1", b"POST //predict HTTP/1.1",
            b"POST /%70redict HTTP/1.1", b"POST /predict%00 HTTP/1.1", b"POST /predict%0d%0aA:b HTTP/1.1",
            b"OPTIONS * HTTP/1.1", b"POST http://127.0.0.1:1/../predict HTTP/1.1",
        )
    },
    **{
        f"{line!r} is the last": (head(LENGTH, line=line) + ROW, ENDED)
        for line in (b"POST /predict", b"GET /", b"POST /predict HTTP/1.0", b"POST /predict HTTP/2.0")
    },
    "line feeds alone": (request(ROW).replace(b"\r\n", b"\n"), REFUSED),
    "carriage returns alone": (request(ROW).replace(b"\r\n", b"\r"), REFUSED),
    "the two exchanged": (request(ROW).replace(b"\r\n", b"\n\r"), REFUSED),
    "an empty line before": (b"\r\n" + request(ROW), TAKEN),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSED),
    "a proxy's line": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + request(ROW), REFUSED),
}  # fmt: skip

UPGRADES = {
    "h2c": b"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ",
    "websocket": b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x",
}
HEADERS: Hostile = {
    **{
        f"{header!r}": (request(ROW, header), REFUSED)
        for header in (
            b"A B: c", b"A : b", b"A\t: b", b" A: b", b"\tA: b", b": b", b"A", b"A b", b"A\0: b", b"A: b\0c",
            b"A: b\x0bc",
            b"A: b\x7fc", b"A: b\r c", b"A: b\rC: d", b"A: b\r\n c", b"A: b\r\n\tc", b"A: b\nC: d", b"A\xe9: b",
            b"A(b): c",
            b"A[b]: c", b'"A": b', b"A,B: c", b"A/B: c", b"A: b\r\r\nC: d", b"{\"A\": b}",
        )
    },
    **{
        f"{header!r} is fine": (request(ROW, header), TAKEN)
        for header in (
            b"A:b", b"A: b \t", b"A:", b"A: \xe9\xff", b"A: b: c", b"A_b: c", b"A|b~!#$%&'*+-.^`: c", b"a: \tb",
            b"Expect: 100-continue", b"TE: trailers", b"Connection: keep-alive", b"Upgrade: h2c",
            b"Connection: Upgrade", b"Connection: Keep-Alive, TE",
            b"Content-Encoding: gzip", b"X-HTTP-Method-Override: GET", b"X-Forwarded-For: \r\nX-Forwarded-Host: evil",
        )
    },
    **{
        f"an upgrade to {name}": (request(line=b"GET /model HTTP/1.1").replace(HOST, HOST + more), TAKEN)
        for name, more in UPGRADES.items()
    },
    **{
        f"an upgrade to {name}, with a body": (request(INNER, more[2:]), FREE)
        for name, more in UPGRADES.items()
    },
    **{
        f"an upgrade to {name}, with a body in chunks": (chunked([INNER], more[2:]), FREE)
        for name, more in UPGRADES.items()
    },
    "a tunnel, with a body": (request(INNER, line=b"CONNECT x:80 HTTP/1.1"), FREE),
    "too many headers": (request(ROW, *[b"A: b"] * 70), REFUSED),
    "too long a header": (request(ROW, b"A: " + b"b" * 17_000), REFUSED),
    "too long a path": (request(ROW, line=b"POST /%b HTTP/1.1" % (b"a" * 17_000)), REFUSED),
}  # fmt: skip

ALL: Hostile = {**FRAMING, **LENGTHS, **CHUNKS, **LINES, **HEADERS}
