/** A pipeline: it checks scores, computes the model, and adds the place of the best score to the answer. */

import { Model, ModelError, toGuest, toHost } from './models.js';

/** What the client is told: a status from 400 to 599, and a text. It leaves `infer` as its `failure`. */
class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.payload = { status, message };
  }
}

/** The export `wasi-nn-torch:pipeline/handler`. */
export const handler = {
  describe() {
    return {
      inputs: [{ name: 'scores', datatype: 'fp32', shape: BigInt64Array.of(-1n) }],
      outputs: [
        { name: 'probabilities', datatype: 'fp32', shape: BigInt64Array.of(-1n) },
        { name: 'best', datatype: 'int64', shape: BigInt64Array.of(1n) },
      ],
    };
  },

  infer(request, inputs) {
    const { scores } = Object.fromEntries(inputs.map(([name, tensor]) => [name, toGuest(tensor)]));
    try {
      // The server has compared the inputs with the description.
      return Object.entries(answer(scores)).map(([name, output]) => [name, toHost(name, output)]);
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      throw new Failure(error.code === 'invalid-argument' ? 400 : 500, error.data);
    }
  },
};

/** The outputs for the scores, FP32 [n]. Throws `Failure` and `ModelError`. */
function answer(scores) {
  if (scores.data.length === 0) throw new Failure(400, 'there are no scores; give at least one');
  model ??= new Model('model'); // it stays open for later requests
  const { probabilities } = model.compute({ scores });
  const best = probabilities.data.indexOf(Math.max(...probabilities.data));
  return { probabilities, best: { data: BigInt64Array.of(BigInt(best)) } };
}

let model;
