/** The models of the host, through wasi-nn; its errors are exceptions. */

import { loadByName } from 'wasi:nn/graph@@version@';
import { Tensor } from 'wasi:nn/tensor@@version@';

/** The arrays for the types of wasi-nn; JavaScript has none for BF16, whose elements are bytes here. */
const ARRAYS = {
  FP16: Float16Array,
  FP32: Float32Array,
  FP64: Float64Array,
  U8: Uint8Array,
  I32: Int32Array,
  I64: BigInt64Array,
  BF16: Uint8Array,
};

/** The host refused a call: `code` is a code of wasi-nn, such as "invalid-argument", and `data` says why. */
export class ModelError extends Error {
  name = 'ModelError';

  constructor(code, text) {
    super(`${code}: ${text}`);
    this.code = code;
    this.data = text;
  }
}

/** A model that the host offers under a name; declare it with `using`. */
export class Model {
  #graph;
  #context;

  constructor(name) {
    this.#graph = asking(() => loadByName(name));
    this.#context = asking(() => this.#graph.initExecutionContext());
  }

  /**
   * Compute the model once. Inputs and outputs are objects by name: `data` is an array of numbers with a type, `type`
   * its type in wasi-nn, and `shape` its dimensions, by default one. Throws `ModelError`.
   */
  compute(inputs) {
    const given = Object.entries(inputs).map(([name, input]) => [name, toHost(name, input)]);
    const outputs = asking(() => this.#context.compute(given)); // the inputs are the host's now
    return Object.fromEntries(outputs.map(([name, output]) => [name, toGuest(output)]));
  }

  [Symbol.dispose]() {
    this.#context[Symbol.dispose]();
    this.#graph[Symbol.dispose]();
  }
}

/** A tensor of the host with a copy of `data`; `name` is for errors. See `Model.compute`. */
export function toHost(name, { data, type = typeOf(name, data), shape = [data.length] }) {
  return new Tensor([...shape], type, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

function typeOf(name, data) {
  const found = Object.keys(ARRAYS).find((type) => data instanceof ARRAYS[type]);
  if (!found) throw new TypeError(`the data of ${name} is not a Float32Array, BigInt64Array or another array of wasi-nn`);
  return found;
}

/** Copy a tensor from the host, and free it there. */
export function toGuest(output) {
  using tensor = output;
  const type = tensor.ty();
  return { type, shape: [...tensor.dimensions()], data: new ARRAYS[type](tensor.data().buffer) };
}

/** Call the host; its errors come as an object with a `payload`, which is not an `Error`. */
function asking(call) {
  try {
    return call();
  } catch (refusal) {
    if (!refusal.payload) throw refusal;
    using error = refusal.payload;
    throw new ModelError(error.code(), error.data());
  }
}
