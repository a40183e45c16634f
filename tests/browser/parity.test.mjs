// The same lease gives the same delta on a native worker, in a tab's processor and on its graphics card: for
// every type of layer and every activation that a model may have.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import path from 'node:path'

import { writeJob, writeTable } from './support/jobs.mjs'
import { PROJECT } from './support/program.mjs'
import { cosine, difference, flat, norm, readTensors } from './support/safetensors.mjs'
import { scenario } from './support/scenario.mjs'

/** Least cosine of two deltas. */
const CPU_MIN = 0.9999
const GPU_MIN = 0.999

/** Values of a tensor must change by this much on average, or they prove nothing. */
const MOVED_MIN = 1e-4

const ROWS = 32
const BATCH = 8
const FEATURES = 36
const IMAGE = { type: 'reshape', target_shape: [6, 6, 1] }

const activation = (name) => ({ type: 'activation', activation: name })
const dense = (units, more = {}) => ({ type: 'dense', units, ...more })

/** Each in a chain with others, behind a dense layer of its own that has to learn through it. */
const ACTIVATIONS = [
  ['linear', 'relu', 'relu6', 'leaky_relu'],
  ['thresholded_relu', 'elu', 'celu', 'selu'],
  ['gelu', 'gelu_approximate', 'silu', 'hard_silu'],
  ['mish', 'sigmoid', 'log_sigmoid', 'hard_sigmoid'],
  ['soft_shrink', 'hard_shrink', 'softsign'],
  ['tanh_shrink', 'hard_tanh', 'softplus'],
  ['tanh', 'exponential', 'softmax', 'log_softmax'],
]

/** Keeps values of a chain where activations bend, neither at 0 nor far out. */
const SPREAD = { type: 'rescaling', scale: 1.2, offset: 0.3 }

function chain(names) {
  return names.flatMap((name) => [dense(12), SPREAD, activation(name)])
}

/** What stands between the input of 36 numbers and the last dense layer, by the name of the case. */
const CASES = {
  dense: [dense(8, { activation: 'relu' }), dense(8, { use_bias: false, kernel_initializer: 'he_normal' })],
  ...Object.fromEntries(ACTIVATIONS.map((names) => [`activation ${names.join(', ')}`, chain(names)])),
  dropout: [dense(24, { activation: 'relu' }), { type: 'dropout', rate: 0.4 }, dense(8), { type: 'dropout', rate: 0.2 }],
  'flatten and reshape': [{ type: 'reshape', target_shape: [4, -1] }, dense(5, { activation: 'tanh' }), { type: 'flatten' }],
  rescaling: [
    { type: 'rescaling', scale: Array.from({ length: FEATURES }, (_, index) => 0.2 + index / 20), offset: Array.from({ length: FEATURES }, (_, index) => index / 40 - 0.4) },
    dense(8, { activation: 'tanh' }),
    { type: 'rescaling', scale: 3.0, offset: -0.5 },
  ],
  'conv2d valid': [IMAGE, { type: 'conv2d', filters: 4, kernel_size: 3, activation: 'relu' }, { type: 'flatten' }],
  'conv2d same with strides': [
    IMAGE,
    { type: 'conv2d', filters: 3, kernel_size: [2, 3], strides: 2, padding: 'same', activation: 'tanh' },
    { type: 'conv2d', filters: 4, kernel_size: 2, use_bias: false },
    { type: 'flatten' },
  ],
  max_pool2d: [IMAGE, { type: 'conv2d', filters: 3, kernel_size: 3 }, { type: 'max_pool2d', pool_size: 2 }, { type: 'flatten' }],
  'max_pool2d same': [
    IMAGE,
    { type: 'conv2d', filters: 3, kernel_size: 2 },
    { type: 'max_pool2d', pool_size: 3, strides: 2, padding: 'same' },
    { type: 'flatten' },
  ],
  average_pool2d: [
    IMAGE,
    { type: 'conv2d', filters: 3, kernel_size: 2 },
    { type: 'average_pool2d', pool_size: 2, padding: 'same' },
    { type: 'flatten' },
  ],
  global_average_pool2d: [IMAGE, { type: 'conv2d', filters: 6, kernel_size: 3, activation: 'relu' }, { type: 'global_average_pool2d' }],
  'batch_normalization of rows': [dense(12), { type: 'batch_normalization' }, activation('relu')],
  'batch_normalization of images': [
    IMAGE,
    { type: 'conv2d', filters: 4, kernel_size: 3 },
    { type: 'batch_normalization', momentum: 0.9 },
    activation('relu'),
    { type: 'flatten' },
  ],
}

function model(layers) {
  return {
    input: [FEATURES],
    loss: 'mse',
    optimizer: { type: 'sgd', learning_rate: 0.005 },
    layers: [...layers, dense(1)],
  }
}

/** One worker, one lease over all rows: what it changes is what the model is changed by. */
async function train(stage, job, rate, join) {
  const args = rate === undefined ? [] : ['--learning-rate', String(rate)]
  const herd = await stage.herd({ job, args })
  await join(herd)
  const ledger = await herd.ledger(120)
  assert.equal(ledger.totals.leases, 1, 'all in one lease')
  const [{ device }] = ledger.workers
  return { device, tensors: await readTensors(path.join(herd.folder, 'final.safetensors')) }
}

function native(stage) {
  return async (herd) => {
    stage.worker(herd, 'native')
  }
}

function tab(stage, context, device) {
  return async (herd) => {
    const opened = await stage.blank({ context, origins: [herd.origin] })
    await opened.page.goto(herd.link({ device }))
    await opened.start()
    return opened
  }
}

/** The cosine of two deltas, all tensors together; says which tensors differ if it is too small. */
function compare(what, one, other, least) {
  const whole = cosine(flat(one), flat(other))
  const each = Array.from(one, ([name, values]) => `${name} ${cosine(Array.from(values), Array.from(other.get(name)))}`)
  assert.ok(whole > least, `${what}: cosine ${whole}; ${each.join(', ')}`)
  // A small tensor drowns in the whole; alone it is held to half the strictness.
  for (const [name, values] of one) {
    if (norm(values) / Math.sqrt(values.length) < MOVED_MIN) continue
    const alone = cosine(Array.from(values), Array.from(other.get(name)))
    assert.ok(alone > 1 - 2 * (1 - least), `${what}: cosine ${alone} of ${name}`)
  }
  return whole
}

async function assertParity(stage, name, contexts) {
  const file = path.join(stage.folder, `${name.replaceAll(/\W+/g, '-')}.toml`)
  const job = await writeJob(file, {
    data: { source: 'table.csv', label: 'y', validation_split: 0.0 },
    model: model(CASES[name]),
    training: { mode: 'synchronous', frequency: 'epoch', strategy: 'mean', codec: 'f32', epochs: 1, batch_size: BATCH },
  })
  // A rate that changes nothing leaves the first parameters.
  const initial = await train(stage, job, 1e-30, native(stage))
  const delta = async (join) => {
    const { device, tensors } = await train(stage, job, undefined, join)
    return { device, change: difference(tensors, initial.tensors) }
  }
  const expected = await delta(native(stage))
  assert.equal(expected.device, 'cpu')
  for (const [tensor, values] of expected.change) {
    const moved = norm(values) / Math.sqrt(values.length)
    if (/kernel|gamma|beta/.test(tensor)) assert.ok(moved > MOVED_MIN, `${name}: ${tensor} moves by ${moved} only`)
  }
  const processor = await delta(tab(stage, contexts.plain, 'cpu'))
  assert.equal(processor.device, 'cpu')
  const card = await delta(tab(stage, contexts.webgpu, 'webgpu'))
  assert.match(card.device, /^gpu \(WebGPU/)
  const cpu = compare(`${name} on the processor`, expected.change, processor.change, CPU_MIN)
  const gpu = compare(`${name} on the graphics card`, expected.change, card.change, GPU_MIN)
  return `${name}: 1 - cosine is ${(1 - cpu).toExponential(1)} on the processor, ${(1 - gpu).toExponential(1)} on the graphics card`
}

scenario('every layer trains alike on a native worker, a processor and a graphics card', { minutes: 8 }, async (stage) => {
  await writeTable(path.join(stage.folder, 'table.csv'), { rows: ROWS, features: FEATURES })
  const contexts = { plain: await stage.context('plain'), webgpu: await stage.context('webgpu') }
  const failures = []
  for (const name of Object.keys(CASES)) {
    try {
      stage.note(await assertParity(stage, name, contexts))
    } catch (error) {
      failures.push(`${name}: ${error.message}`)
    }
    for (const opened of stage.tabs) if (!opened.page.isClosed()) await opened.page.close()
  }
  assert.deepEqual(failures, [])
})

scenario('the cases of this file name every layer and every activation', {}, async () => {
  const source = await readFile(path.join(PROJECT, 'model/src/layer.rs'), 'utf8')
  const words = (text) => new Set(text.match(/[a-z0-9_]+/g))
  const variants = (name) => {
    const body = new RegExp(`pub enum ${name} \\{([^]*?)\\n\\}`).exec(source)[1]
    return Array.from(body.matchAll(/^ {4}([A-Z]\w*)/gm), ([, variant]) => variant)
  }
  const snake = (text) => text.replaceAll(/(?<!^)([A-Z])/g, '_$1').toLowerCase()
  const layers = words(JSON.stringify(Object.values(CASES)))
  for (const variant of variants('Layer')) assert.ok(layers.has(snake(variant)), `no case for the layer ${variant}`)
  const activations = new Set(ACTIVATIONS.flat())
  for (const variant of variants('Activation')) assert.ok(activations.has(snake(variant)), `no case for ${variant}`)
})
