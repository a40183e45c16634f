// Reads a safetensors file of f32 tensors, and compares models: the length of the header as u64, the
// header as JSON, then the data, all little-endian.
import { readFile } from 'node:fs/promises'

/** The tensors of a file: name to values. */
export async function readTensors(file) {
  const bytes = await readFile(file)
  const length = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length))
  delete header.__metadata__
  const tensors = new Map()
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(header)) {
    if (dtype !== 'F32') throw new Error(`${name} in ${file} holds ${dtype}, not F32`)
    const count = shape.reduce((product, side) => product * side, 1)
    if (to - from !== 4 * count) throw new Error(`${name} in ${file} has ${to - from} bytes for ${count} values`)
    const values = new Float64Array(count)
    for (let index = 0; index < count; index += 1) {
      values[index] = bytes.readFloatLE(8 + length + from + 4 * index)
    }
    tensors.set(name, values)
  }
  return tensors
}

/** What training changed: `after - before`, tensor by tensor. */
export function difference(after, before) {
  return new Map(Array.from(after, ([name, values]) => {
    const start = before.get(name)
    if (start?.length !== values.length) throw new Error(`${name} is not the same tensor in both models`)
    return [name, values.map((value, index) => value - start[index])]
  }))
}

/** All values of a model as one vector, in the order of the names. */
export function flat(tensors) {
  const names = Array.from(tensors.keys()).sort()
  return names.flatMap((name) => Array.from(tensors.get(name)))
}

export function norm(vector) {
  return Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
}

/** The cosine of the angle between two vectors. */
export function cosine(one, other) {
  if (one.length !== other.length) throw new Error(`${one.length} values against ${other.length}`)
  let product = 0
  for (let index = 0; index < one.length; index += 1) product += one[index] * other[index]
  return product / (norm(one) * norm(other))
}
