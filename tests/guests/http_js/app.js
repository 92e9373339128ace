// Answers requests of HTTP as a service worker does; the path says how.
import { loadByName } from "wasi:nn/graph@0.2.0-rc-2024-10-28";
import { Tensor } from "wasi:nn/tensor@0.2.0-rc-2024-10-28";

let called = 0;

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  called += 1;
  const { pathname, search } = new URL(request.url);
  const route = routes[pathname];
  return route ? await route(request, decodeURIComponent(search.slice(1))) : new Response("unknown", { status: 404 });
}

const routes = {
  "/": () => new Response("hello from JavaScript", { headers: { "content-type": "text/plain" } }),
  "/count": () => new Response(String(called)),
  "/request": (request) => {
    const { method, url } = request;
    return Response.json({ method, url, headers: [...request.headers] }, { status: 201 });
  },
  "/echo": (request) => new Response(request.body, { headers: { "content-type": "application/octet-stream" } }),
  "/upper": async (request) => new Response((await request.text()).toUpperCase()),
  "/stream": (request, count) => {
    const encoder = new TextEncoder();
    let at = 0;
    const body = new ReadableStream({
      async pull(controller) {
        if (at) await new Promise((resolve) => setTimeout(resolve, 50));
        controller.enqueue(encoder.encode(`${at}\n`));
        at += 1;
        if (at >= Number(count)) controller.close();
      },
    });
    return new Response(body);
  },
  "/fetch": async (request, url) => {
    const response = await fetch(url);
    return new Response(response.body, { status: response.status, headers: { "x-from": "fetch" } });
  },
  "/post": async (request, url) => {
    const response = await fetch(url, { method: "POST", body: await request.text() });
    return new Response(await response.text(), { status: response.status });
  },
  "/failing": async (request, url) => {
    try {
      await fetch(url);
    } catch (error) {
      return new Response("failed", { status: 502 });
    }
    return new Response("fetched");
  },
  "/compute": async (request) => {
    const content = new Uint8Array(await request.arrayBuffer());
    const context = loadByName("net").initExecutionContext();
    const x = new Tensor(new Uint32Array([content.length / 4]), "FP32", content);
    const [[, output]] = context.compute([["x", x]]);
    return new Response(output.data());
  },
  "/throw": () => {
    throw new Error("a secret of the guest");
  },
  "/loop": () => {
    for (;;);
  },
};
