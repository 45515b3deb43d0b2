/**
 * Weights out of a safetensors file: float32, float16, or int8 with a scale a row.
 *
 * The file is 8 bytes of header length, a JSON header, and the numbers; a tensor may begin at any byte.
 * An int8 tensor NAME of shape (N, K) comes with a float32 tensor NAME.scale (N,): row n holds
 * scale[n] * codes[n, k].
 */

import { failure } from "./errors.js";

const BYTES = { F32: 4, F16: 2, I8: 1 };
const SCALE = ".scale";

/**
 * The tensors of a file by name, each as {shape, data: Float32Array}.
 * Throws an Error that says what is wrong with a damaged file.
 */
export function readTensors(buffer) {
  const { __metadata__: _, ...header } = readHeader(buffer);
  const begin = 8 + headerLength(buffer);
  const raw = new Map();
  for (const [name, { dtype, shape, data_offsets: [start, stop] }] of Object.entries(header)) {
    const count = shape.reduce((product, length) => product * length, 1);
    if (!(dtype in BYTES)) throw failure("type", { name, type: String(dtype) }, Error);
    if (stop - start !== count * BYTES[dtype] || start < 0 || begin + stop > buffer.byteLength) {
      throw failure("misfit", { name }, Error);
    }
    raw.set(name, { dtype, shape, bytes: buffer.slice(begin + start, begin + stop) }); // a slice is aligned
  }
  const tensors = new Map();
  for (const [name, { dtype, shape, bytes }] of raw) {
    if (name.endsWith(SCALE)) continue;
    if (dtype === "F32") tensors.set(name, { shape, data: new Float32Array(bytes) });
    else if (dtype === "F16") tensors.set(name, { shape, data: Float32Array.from(new Uint16Array(bytes), half) });
    else tensors.set(name, { shape, data: scaled(name, new Int8Array(bytes), shape, raw.get(name + SCALE)) });
  }
  return tensors;
}

/** What training measured, from the file's metadata: {} where it says nothing. */
export function readMetrics(buffer) {
  return JSON.parse(readHeader(buffer).__metadata__?.metrics ?? "{}");
}

/** What its matrices are held in: "float32", "float16" or "int8". */
export function readPrecision(buffer) {
  return { F32: "float32", F16: "float16", I8: "int8" }[readHeader(buffer)["output.weight"]?.dtype];
}

function readHeader(buffer) {
  const length = buffer.byteLength < 8 ? Infinity : headerLength(buffer);
  if (length > buffer.byteLength - 8) throw failure("cut", {}, Error);
  try {
    return JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  } catch {
    throw failure("header", {}, Error);
  }
}

function headerLength(buffer) {
  return Number(new DataView(buffer).getBigUint64(0, true));
}

/** A number from the 16 bits of IEEE 754 binary16. */
function half(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction;
  return bits & 0x8000 ? -size : size;
}

function scaled(name, codes, [rows, width], scale) {
  if (scale?.dtype !== "F32" || scale.shape[0] !== rows) {
    throw failure("scale", { name }, Error);
  }
  const scales = new Float32Array(scale.bytes);
  const data = new Float32Array(codes.length);
  for (let n = 0, at = 0; n < rows; n++) {
    for (let k = 0; k < width; k++, at++) data[at] = scales[n] * codes[at];
  }
  return data;
}
