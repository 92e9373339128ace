"""Answers requests of HTTP: the path says how.

| path | what it does |
| --- | --- |
| `/` | says hello |
| `/echo` | sends the body back, piece by piece, with its content type |
| `/request` | tells what it got of the request, as JSON |
| `/count` | tells how often this instance was called |
| `/compute` | computes the graph `net` on the body, a vector of FP32 |
| `/stream?N` | sends N lines, and waits 50 ms before each but the first |
| `/sum` | reads the body, and tells how many bytes it has |
| `/fetch?URL` | gets URL, and sends what it got, as it arrives |
| `/all?URL|URL…` | gets all of them at the same time, and tells how many bytes each has, or its error |
| `/post?URL` | sends the body to URL, and sends what it got |
| `/code?URL` | tells the name of the error that it gets for URL |
| `/timeouts?URL` | the same with 0.2 s for each of the three times |
| `/fields` | tells what happens to fields that it may not have, as JSON |
| `/trailers?NAME=VALUE&…` | reads the body, tells the trailers of the request, as JSON, and has trailers itself |
| `/declared?NAME=VALUE&…` | the same, and says in a header which trailers it has |
| `/through?URL` | sends the body and its trailers to URL, and sends what it got, with its trailers |
| `/status?N` | answers with this status, and a body |
| `/header?NAME=VALUE` | answers with this header |
| `/print?TEXT` | prints a text |
| `/trap`, `/loop`, `/grow`, `/silent`, `/refuse`, `/late` | traps; never returns; takes all memory; gives no answer; \
says why; says that something was late |
| `/half`, `/unfinished`, `/short`, `/long` | traps in the middle of a body; leaves it; writes less, or more, than \
it said |
| `/after` | does something after its answer: prints a line |
"""

import asyncio
import json
import time
from urllib.parse import urlsplit

from componentize_py_types import Err, Ok
from poll_loop import PollLoop, Sink, Stream, register, send
from wit_world import exports
from wit_world.imports import monotonic_clock, types
from wit_world.imports.graph import load_by_name
from wit_world.imports.outgoing_handler import handle
from wit_world.imports.tensor import Tensor, TensorType
from wit_world.imports.types import (
    Fields,
    IncomingBody,
    IncomingRequest,
    Method_Get,
    Method_Other,
    Method_Post,
    OutgoingBody,
    OutgoingRequest,
    OutgoingResponse,
    RequestOptions,
    ResponseOutparam,
    Scheme_Http,
    Scheme_Https,
    Scheme_Other,
)

called = 0


class IncomingHandler(exports.IncomingHandler):
    """The export `wasi:http/incoming-handler`."""

    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        global called
        called += 1
        loop = PollLoop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(answer(request, response_out))


async def answer(request, out):
    path, _, query = (request.path_with_query() or "/").partition("?")
    name = path.strip("/").replace("/", "_") or "hello"
    await ROUTES.get(name, unknown)(request, out, query)


def respond(out, headers=(), status=200):
    """Set a response; return the sink for its body."""
    response = OutgoingResponse(Fields.from_list([(name, value.encode()) for name, value in headers]))
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(out, Ok(response))
    return Sink(body)


async def say(out, text, status=200, headers=()):
    sink = respond(out, [("content-type", "text/plain"), *headers], status)
    await sink.send(text.encode())
    sink.close()


async def hello(request, out, query):
    await say(out, "hello from Python")


async def unknown(request, out, query):
    await say(out, "unknown", 404)


async def echo(request, out, query):
    headers = request.headers()
    kind = headers.get("Content-Type")
    sink = respond(out, [("content-type", kind[0].decode())] if kind else [])
    stream = Stream(request.consume())
    while (piece := await stream.next()) is not None:
        await sink.send(piece)
    sink.close()


async def describe(request, out, query):
    method, scheme = request.method(), request.scheme()
    found = {
        "method": method.value if isinstance(method, Method_Other) else type(method).__name__,
        "path": request.path_with_query(),
        "scheme": type(scheme).__name__,
        "authority": request.authority(),
        "headers": [[name, value.decode("latin-1")] for name, value in request.headers().entries()],
    }
    await say(out, json.dumps(found))


async def count(request, out, query):
    await say(out, str(called))


async def compute(request, out, query):
    stream, content = Stream(request.consume()), b""
    while (piece := await stream.next()) is not None:
        content += piece
    context = load_by_name("net").init_execution_context()
    x = Tensor([len(content) // 4], TensorType.FP32, content)
    outputs = context.compute([("x", x)])
    sink = respond(out, [("content-type", "application/octet-stream")])
    await sink.send(outputs[0][1].data())
    sink.close()


async def stream(request, out, query):
    sink = respond(out)
    for number in range(int(query)):
        if number:
            await sleep(0.05)
        await sink.send(f"{number}\n".encode())
    sink.close()


async def sleep(seconds):
    await register(asyncio.get_event_loop(), monotonic_clock.subscribe_duration(int(seconds * 1e9)))


async def sum_(request, out, query):
    stream, size = Stream(request.consume()), 0
    while (piece := await stream.next()) is not None:
        size += len(piece)
    await say(out, str(size))


def outgoing(url, method=None, headers=()):
    parts = urlsplit(url)
    request = OutgoingRequest(Fields.from_list([(name, value.encode()) for name, value in headers]))
    request.set_method(method or Method_Get())
    known = {"http": Scheme_Http(), "https": Scheme_Https()}
    request.set_scheme(known.get(parts.scheme) or Scheme_Other(parts.scheme))
    request.set_authority(parts.netloc)
    request.set_path_with_query((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    return request


async def relay(response, out):
    headers = [(name, value.decode()) for name, value in response.headers().entries()]
    kept = [(name, value) for name, value in headers if name in ("content-type", "location", "x-test")]
    sink = respond(out, kept, response.status())
    stream = Stream(response.consume())
    while (piece := await stream.next()) is not None:
        await sink.send(piece)
    sink.close()


async def fetch(request, out, query):
    try:
        response = await send(outgoing(query))
    except Err as error:
        await say(out, type(error.value).__name__, 502)
    else:
        await relay(response, out)


async def all_(request, out, query):
    await say(out, " ".join(await asyncio.gather(*map(size_of, query.split("|")))))


async def size_of(url):
    try:
        response = await send(outgoing(url))
    except Err as error:
        return type(error.value).__name__.removeprefix("ErrorCode_")
    stream, size = Stream(response.consume()), 0
    while (piece := await stream.next()) is not None:
        size += len(piece)
    return str(size)


async def post(request, out, query):
    made = outgoing(query, Method_Post(), [("content-type", "text/plain")])
    sink, stream = Sink(made.body()), Stream(request.consume())
    sending = asyncio.ensure_future(send(made))
    await asyncio.sleep(0)
    while (piece := await stream.next()) is not None:
        await sink.send(piece)
    sink.close()
    await relay(await sending, out)


async def code(request, out, query, options=None):
    try:
        future = handle(outgoing(query), options)
        while (response := future.get()) is None:
            await register(asyncio.get_event_loop(), future.subscribe())
        if isinstance(response.value, Err):
            raise response.value
        stream, size = Stream(response.value.value.consume()), 0
        while (piece := await stream.next()) is not None:
            size += len(piece)
        await say(out, f"{size} bytes")
    except Err as error:
        value = error.value
        if type(value).__name__ == "StreamError_LastOperationFailed":
            value = types.http_error_code(value.value)
        await say(out, type(value).__name__.removeprefix("ErrorCode_"))


async def timeouts(request, out, query):
    options = RequestOptions()
    options.set_connect_timeout(200_000_000)
    options.set_first_byte_timeout(200_000_000)
    options.set_between_bytes_timeout(200_000_000)
    await code(request, out, query, options)


async def fields(request, out, query):
    found = {}
    for name, value in [
        ("ok", b"1"),
        ("x y", b"1"),
        ("", b"1"),
        ("x:", b"1"),
        ("x-crlf", b"1\r\nset-cookie: a"),
        ("x-nul", b"\0"),
        ("Connection", b"close"),
        ("Transfer-Encoding", b"chunked"),
        ("Host", b"a"),
        ("Keep-Alive", b"1"),
        ("Upgrade", b"h2c"),
    ]:
        for way in ("from_list", "append", "set"):
            try:
                if way == "from_list":
                    Fields.from_list([(name, value)])
                elif way == "append":
                    Fields().append(name, value)
                else:
                    Fields().set(name, [value])
                found[f"{way} {name}"] = "ok"
            except Err as error:
                found[f"{way} {name}"] = type(error.value).__name__.removeprefix("HeaderError_")
    try:
        request.headers().append("x-more", b"1")
        found["request"] = "ok"
    except Err as error:
        found["request"] = type(error.value).__name__.removeprefix("HeaderError_")
    copy = request.headers().clone()
    copy.append("X-More", b"1")
    found["clone"] = [value.decode() for value in copy.get("x-MORE")]
    await say(out, json.dumps(found))


async def trailers(request, out, query, headers=()):
    found = await drain(request.consume())
    sink = respond(out, headers)
    await sink.send(json.dumps([[name, value.decode("latin-1")] for name, value in found]).encode())
    finish(sink, [(name, value.encode()) for name, _, value in (each.partition("=") for each in query.split("&"))])


async def declared(request, out, query):
    names = ", ".join(each.partition("=")[0] for each in query.split("&"))
    await trailers(request, out, query, [("trailer", names)])


async def through(request, out, query):
    made = outgoing(query, Method_Post())
    sink = Sink(made.body())
    sending = asyncio.ensure_future(send(made))
    await asyncio.sleep(0)
    finish(sink, await drain(request.consume(), sink))
    response = await sending
    sink = respond(out, status=response.status())
    finish(sink, await drain(response.consume(), sink))


async def drain(body, sink=None):
    """Read a body, and send it to a sink; return its trailers."""
    stream = Stream(body)
    stream.body = None  # which it would finish itself, and forget the trailers
    while (piece := await stream.next()) is not None:
        if sink is not None:
            await sink.send(piece)
    future = IncomingBody.finish(body)
    while (found := future.get()) is None:
        await register(asyncio.get_event_loop(), future.subscribe())
    fields = found.value.value
    return [] if fields is None else fields.entries()


def finish(sink, entries):
    """End a body with trailers."""
    sink.stream.__exit__(None, None, None)
    OutgoingBody.finish(sink.body, Fields.from_list(entries) if entries else None)


async def status(request, out, query):
    try:
        sink = respond(out, status=int(query))
    except Err:
        await say(out, "refused")
        return
    await sink.send(b"a body")
    sink.close()


async def header(request, out, query):
    name, _, value = query.partition("=")
    await say(out, "done", headers=[(name, value)])


async def print_(request, out, query):
    print(query)
    await say(out, "printed")


async def trap(request, out, query):
    raise ValueError("a secret of the guest")


async def loop(request, out, query):
    while True:
        pass


async def grow(request, out, query):
    kept = []
    while True:
        kept.append(bytes(1 << 24))


async def silent(request, out, query):
    pass


async def refuse(request, out, query):
    ResponseOutparam.set(out, Err(types.ErrorCode_InternalError("a secret of the guest")))


async def late(request, out, query):
    ResponseOutparam.set(out, Err(types.ErrorCode_HttpResponseTimeout()))


async def half(request, out, query):
    sink = respond(out)
    await sink.send(b"half of it")
    raise ValueError("a secret of the guest")


async def unfinished(request, out, query):
    sink = respond(out)
    await sink.send(b"half of it")


async def short(request, out, query):
    sink = respond(out, [("content-length", "20")])
    await sink.send(b"half of it")
    try:
        sink.close()
    except Err as error:
        print(type(error.value).__name__, error.value.value)


async def long(request, out, query):
    sink = respond(out, [("content-length", "4")])
    try:
        await sink.send(b"more than four bytes")
    except Err as error:
        print(type(types.http_error_code(error.value.value)).__name__)
    sink.stream.__exit__(None, None, None)
    OutgoingBody.finish(sink.body, None)


async def after(request, out, query):
    await say(out, "done")
    await sleep(0.1)
    print("after the answer", time.time() > 0)


ROUTES = {
    "hello": hello,
    "echo": echo,
    "request": describe,
    "count": count,
    "compute": compute,
    "stream": stream,
    "sum": sum_,
    "fetch": fetch,
    "all": all_,
    "post": post,
    "code": code,
    "timeouts": timeouts,
    "fields": fields,
    "trailers": trailers,
    "declared": declared,
    "through": through,
    "status": status,
    "header": header,
    "print": print_,
    "trap": trap,
    "loop": loop,
    "grow": grow,
    "silent": silent,
    "refuse": refuse,
    "late": late,
    "half": half,
    "unfinished": unfinished,
    "short": short,
    "long": long,
    "after": after,
}
