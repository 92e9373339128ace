/** What the page on guests in JavaScript says of them: prints it as JSON, or does what ends a guest. */

import { getArguments } from 'wasi:cli/environment@0.2.0';
import { loadByName } from 'wasi:nn/graph@0.2.0-rc-2024-10-28';
import { Tensor } from 'wasi:nn/tensor@0.2.0-rc-2024-10-28';

const BUILT = Date.now();
const MISSING = ['Intl', 'WebAssembly', 'Worker', 'SharedArrayBuffer', 'Atomics', 'process', 'Buffer', 'require'];
const PRESENT = ['TextDecoder', 'URL', 'structuredClone', 'crypto', 'fetch', 'Float16Array', 'setTimeout'];

export const run = {
  async run() {
    const [, name, ...rest] = getArguments();
    await ENDINGS[name](...rest);
  },
};

const ENDINGS = {
  facts: () => console.log(JSON.stringify({ ...ofTheEngine(), ...ofWasiNn() })),
  throw: () => undefined.x,
  reject: () => void Promise.reject(new Error('nobody handles this')),
  timer: () => void setTimeout(() => console.log('it fired'), 1),
  sleep: async () => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    console.log('it fired');
  },
  never: () => new Promise(() => {}),
  fetch: () => fetch('http://example.com/'),
  print: () => console.log('x'.repeat(100_000)),
  keep: (count) => computed(count, () => {}),
  dispose: (count) => computed(count, (output) => output[Symbol.dispose]()),
  pass: (count) => {
    for (let each = 0; each < count; each++) floats(1 << 20)[Symbol.dispose]();
  },
};

function ofTheEngine() {
  return {
    there: [...MISSING, ...PRESENT].filter((name) => name in globalThis),
    age: Date.now() - BUILT,
    randomNumbersDiffer: Math.random() !== Math.random(),
    locale: (1234.5).toLocaleString('de'),
    normalize: typeof ''.normalize,
    property: failure(() => new RegExp('\\p{L}', 'u')),
    base64: [...Uint8Array.fromBase64('AQI=')],
  };
}

function ofWasiNn() {
  const refusal = caught(() => loadByName('nothing'));
  const numbers = Float32Array.of(0, 1, 2, 3);
  const part = new Tensor([2], 'FP32', numbers.subarray(2));
  numbers.fill(9);
  const data = part.data();
  return {
    isAnError: refusal instanceof Error,
    code: refusal.payload.code(),
    text: refusal.payload.data(),
    part: [...new Float32Array(data.buffer)],
    dimensions: [...new Tensor(Uint32Array.of(1, 2), 'FP32', numbers).dimensions()],
    bigDimension: failure(() => new Tensor([1n], 'FP32', numbers)),
    fraction: failure(() => new Tensor([1.5], 'FP32', numbers)),
    lowerCase: failure(() => new Tensor([1], 'fp32', numbers)),
    usedUp: usedUp(),
  };
}

/** What an input that was used up seems to be. */
function usedUp() {
  using context = loadByName('model').initExecutionContext();
  const input = floats(3);
  const [[, output]] = context.compute([['x', input]]);
  return { output: [...output.dimensions()], input: [...input.dimensions()] };
}

function computed(count, done) {
  using context = loadByName('model').initExecutionContext();
  for (let each = 0; each < count; each++) {
    const [[, output]] = context.compute([['x', floats(1)]]);
    output.ty();
    done(output);
  }
}

function floats(count) {
  return new Tensor([count], 'FP32', new Float32Array(count));
}

function caught(call) {
  try {
    call();
  } catch (error) {
    return error;
  }
}

function failure(call) {
  return caught(call)?.name;
}
