// Small jobs for tests: the flowers of examples/, and generated tables of numbers for any network.
import { writeFile } from 'node:fs/promises'
import path from 'node:path'

import { PROJECT } from './program.mjs'

/** Rows of the flowers that train: 150, of which 30 test. */
export const IRIS_ROWS = 120

/** Rows that train in the digits without validation. */
export const DIGITS_ROWS = 8000

/** A value as TOML: text, number, boolean, list or inline table. */
export function toml(value) {
  if (Array.isArray(value)) return `[${value.map(toml).join(', ')}]`
  if (value !== null && typeof value === 'object') {
    return `{ ${Object.entries(value).map(([key, item]) => `${key} = ${toml(item)}`).join(', ')} }`
  }
  return JSON.stringify(value)
}

/** Writes a job file. `sections` is table name to keys. */
export async function writeJob(file, sections, top = {}) {
  const lines = Object.entries(top).map(([key, value]) => `${key} = ${toml(value)}`)
  for (const [table, keys] of Object.entries(sections)) {
    lines.push(`[${table}]`)
    for (const [key, value] of Object.entries(keys)) lines.push(`${key} = ${toml(value)}`)
  }
  await writeFile(file, `${lines.join('\n')}\n`)
  return file
}

/** Three species of iris with a net of some hundred parameters: small enough for a software GPU. */
export function irisJob(folder, { epochs, batch = 16, frequency = 'epoch', units = 16, rate = 0.02, validation = 0.0 }) {
  return writeJob(path.join(folder, 'iris.toml'), {
    data: { source: path.join(PROJECT, 'examples/iris.csv'), label: 'species', test_split: 0.2, validation_split: validation },
    model: {
      input: [4],
      loss: 'sparse_categorical_crossentropy',
      metrics: ['accuracy'],
      optimizer: { type: 'adam', learning_rate: rate },
      layers: [
        { type: 'rescaling', scale: [1.21, 2.3, 0.57, 1.32], offset: [-7.08, -7.04, -2.14, -1.58] },
        { type: 'dense', units, activation: 'relu' },
        { type: 'dense', units: 3, activation: 'softmax' },
      ],
    },
    training: { epochs, batch_size: batch, frequency },
  })
}

/** Numbers from 0 to 1 that are the same in each run. */
export function random(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A table of random features from -2 to 2 and a target that depends on them. */
export async function writeTable(file, { rows, features, seed = 7 }) {
  const next = random(seed)
  const names = Array.from({ length: features }, (_, index) => `x${index}`)
  const lines = [[...names, 'y'].join(',')]
  for (let row = 0; row < rows; row += 1) {
    const values = Array.from({ length: features }, () => 4 * next() - 2)
    const target = values.reduce((sum, value, index) => sum + Math.sin(value + index), 0)
    lines.push([...values, target].map((value) => value.toFixed(4)).join(','))
  }
  await writeFile(file, `${lines.join('\n')}\n`)
  return file
}
