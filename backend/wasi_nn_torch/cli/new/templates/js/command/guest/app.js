/** A command that computes a model with wasi-nn: its arguments are numbers, and it prints what the model returns. */

import { getArguments } from 'wasi:cli/environment@0.2.0';
import { Model } from './models.js';

/** The export `wasi:cli/run`. An error that leaves it makes the exit status 1, without a message. */
export const run = {
  run() {
    try {
      main(getArguments().slice(1));
    } catch (error) {
      console.error(`${error}\n${error.stack}`);
      throw error;
    }
  },
};

/** Compute the model once, and print its outputs. */
function main(args) {
  using model = new Model('model');
  const outputs = model.compute({ scores: { data: Float32Array.from(args, number) } });
  for (const [name, { type, shape, data }] of Object.entries(outputs)) {
    console.log(`${name}: ${type} [${shape.join(', ')}]`, Array.from(data, (each) => each.toFixed(4)).join(' '));
  }
}

function number(text) {
  const value = Number(text);
  if (Number.isNaN(value)) throw new TypeError(`${JSON.stringify(text)} is not a number`);
  return value;
}
