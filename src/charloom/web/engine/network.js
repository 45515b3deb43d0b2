/**
 * The network's step: LSTM, GRU or simple RNN of any depth, residual from the second layer on.
 *
 * Gates come in torch's order: LSTM i f g o, GRU r z n. The input side of the first layer (embedding,
 * input weights, biases) is folded into one row a character, worked out when that character first comes.
 */

import { failure } from "./errors.js";

const GATES = { lstm: 4, gru: 3, rnn: 1 };
const PARTS = { lstm: 2, gru: 1, rnn: 1 };

export class Network {
  /** From config.json's "model" and "conditions", the tensors by name, and V, the number of ids. */
  constructor(config, conditions, tensors, vocabulary) {
    const { cell, layers, hidden, embedding } = config;
    if (!(cell in GATES)) throw failure("cell", { cell: String(cell) }, Error);
    Object.assign(this, { cell, layers, hidden, vocabulary });
    this.parts = PARTS[cell];
    const rows = GATES[cell] * hidden;
    const width = embedding || vocabulary;
    this.parameters = 0;
    const take = (name, ...shape) => {
      const found = tensors.get(name);
      if (!found || String(found.shape) !== String(shape)) {
        throw failure("shape", { name, shape: String(shape) }, Error);
      }
      this.parameters += found.data.length;
      return found.data;
    };
    this.stack = Array.from({ length: layers }, (_, k) => {
      const bias = take(`layers.${k}.bias_input`, rows).slice();
      const ofHidden = take(`layers.${k}.bias_hidden`, rows);
      const folded = cell === "gru" ? 2 * hidden : rows; // GRU's reset gate multiplies its candidate's bias
      for (let n = 0; n < folded; n++) bias[n] += ofHidden[n];
      return {
        bias,
        candidate: ofHidden.subarray(folded),
        fromInput: take(`layers.${k}.weight_input`, rows, k ? hidden : width),
        fromHidden: take(`layers.${k}.weight_hidden`, rows, hidden),
      };
    });
    this.embedding = embedding ? take("embedding.weight", vocabulary, embedding) : null;
    this.output = take("output.weight", vocabulary, hidden);
    this.bias = take("output.bias", vocabulary);
    const own = this.parts * hidden;
    this.conditions = {};
    for (const [name, { kind, values, size }] of Object.entries(conditions)) {
      this.conditions[name] = Array.from({ length: layers }, (_, k) => ({
        weight: take(`condition.${name}.layers.${k}.weight`, own, kind === "label" ? values.length : size),
        bias: take(`condition.${name}.layers.${k}.bias`, own),
      }));
    }
    this.folded = new Array(vocabulary);
    this.gates = new Float32Array(rows);
    this.recurrent = new Float32Array(rows);
    this.between = new Float32Array(hidden);
    this.none = new Float32Array(rows);
  }

  /** The size of a state: layers * parts * hidden numbers, in that order; LSTM's parts are h and c. */
  get stateSize() {
    return this.layers * this.parts * this.hidden;
  }

  /** Add to a beginning `state` what a condition's linear map makes of `vector`. */
  add(condition, vector, state) {
    const own = this.parts * this.hidden;
    this.conditions[condition].forEach(({ weight, bias }, k) => {
      const layer = state.subarray(k * own, (k + 1) * own);
      const added = new Float32Array(own);
      multiply(weight, vector, bias, added);
      for (let n = 0; n < own; n++) layer[n] += added[n];
    });
  }

  /** Read one id: `state` goes on in place, `logits` (V,) receives what is expected next. */
  step(id, state, logits) {
    const { hidden: H, between } = this;
    for (let k = 0; k < this.layers; k++) {
      const layer = this.stack[k];
      const own = state.subarray(k * this.parts * H, (k + 1) * this.parts * H);
      if (k) multiply(layer.fromInput, between, layer.bias, this.gates);
      else this.gates.set((this.folded[id] ??= this.fold(id)));
      multiply(layer.fromHidden, own.subarray(0, H), this.none, this.recurrent);
      CELLS[this.cell](this.gates, this.recurrent, layer.candidate, own, H);
      for (let j = 0; j < H; j++) between[j] = k ? between[j] + own[j] : own[j];
    }
    multiply(this.output, between, this.bias, logits);
  }

  /** What the first layer's gates hold for this id before anything else is added. */
  fold(id) {
    const { bias, fromInput } = this.stack[0];
    const row = new Float32Array(bias.length);
    if (this.embedding) {
      const width = this.embedding.length / this.vocabulary;
      multiply(fromInput, this.embedding.subarray(id * width, (id + 1) * width), bias, row);
    } else {
      for (let n = 0; n < row.length; n++) row[n] = bias[n] + fromInput[n * this.vocabulary + id];
    }
    return row;
  }
}

/**
 * result (N,) = start (N,) + matrix (N, K) times vector (K,); sums in double precision. Eight rows at a time:
 * sums that do not wait for each other, and one reading of the vector (a sixth quicker than four).
 */
function multiply(matrix, vector, start, result) {
  const N = result.length;
  const K = vector.length;
  let n = 0;
  for (let p = 0; n + 7 < N; n += 8, p += 8 * K) {
    const [q, r, s, t, u, v, w] = [p + K, p + 2 * K, p + 3 * K, p + 4 * K, p + 5 * K, p + 6 * K, p + 7 * K];
    let [a, b, c, d, e, f, g, h] = [0, 0, 0, 0, 0, 0, 0, 0];
    for (let k = 0; k < K; k++) {
      const x = vector[k];
      a += matrix[p + k] * x;
      b += matrix[q + k] * x;
      c += matrix[r + k] * x;
      d += matrix[s + k] * x;
      e += matrix[t + k] * x;
      f += matrix[u + k] * x;
      g += matrix[v + k] * x;
      h += matrix[w + k] * x;
    }
    result[n] = start[n] + a;
    result[n + 1] = start[n + 1] + b;
    result[n + 2] = start[n + 2] + c;
    result[n + 3] = start[n + 3] + d;
    result[n + 4] = start[n + 4] + e;
    result[n + 5] = start[n + 5] + f;
    result[n + 6] = start[n + 6] + g;
    result[n + 7] = start[n + 7] + h;
  }
  for (; n < N; n++) {
    let a = 0;
    for (let k = 0; k < K; k++) a += matrix[n * K + k] * vector[k];
    result[n] = start[n] + a;
  }
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

const CELLS = {
  lstm(gates, recurrent, _candidate, state, H) {
    for (let j = 0; j < H; j++) {
      const i = sigmoid(gates[j] + recurrent[j]);
      const f = sigmoid(gates[H + j] + recurrent[H + j]);
      const g = Math.tanh(gates[2 * H + j] + recurrent[2 * H + j]);
      const o = sigmoid(gates[3 * H + j] + recurrent[3 * H + j]);
      state[H + j] = f * state[H + j] + i * g;
      state[j] = o * Math.tanh(state[H + j]);
    }
  },
  gru(gates, recurrent, candidate, state, H) {
    for (let j = 0; j < H; j++) {
      const r = sigmoid(gates[j] + recurrent[j]);
      const z = sigmoid(gates[H + j] + recurrent[H + j]);
      const n = Math.tanh(gates[2 * H + j] + r * (recurrent[2 * H + j] + candidate[j]));
      state[j] = n + z * (state[j] - n);
    }
  },
  rnn(gates, recurrent, _candidate, state, H) {
    for (let j = 0; j < H; j++) state[j] = Math.tanh(gates[j] + recurrent[j]);
  },
};
