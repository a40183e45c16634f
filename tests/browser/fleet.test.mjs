// Two browsers and a native worker train the digits together: all of them count, and the network learns.
import assert from 'node:assert/strict'

import { assertExact, samplesOf } from './support/herd.mjs'
import { scenario } from './support/scenario.mjs'
import { until, within } from './support/waiting.mjs'

/** 8,000 digits, of which one in ten validates. */
const ROWS = 7200
/** Some seconds: a browser compiles in the background what runs often, and trains slowly until then. */
const EPOCHS = 120

scenario('two browsers and a native worker learn the digits together', { minutes: 3 }, async (stage) => {
  const herd = await stage.herd({ args: ['--min-workers', '3', '--epochs', String(EPOCHS)] })
  const tabs = []
  for (const name of ['tab-one', 'tab-two']) {
    // Separate contexts are separate profiles: two people.
    const tab = await stage.tab(herd, { device: 'cpu', name })
    await tab.start()
    tabs.push(tab)
  }
  for (const tab of tabs) await tab.untilState('waiting')
  await until('both are counted', async () => (await herd.status()).workers === 2)
  assert.equal((await herd.status()).samples, 0, 'nothing begins before all are there')
  const native = stage.worker(herd, 'native')
  await within(90, 'all train', Promise.all(tabs.map((tab) => tab.untilAccepted())))

  const ledger = await herd.ledger()
  assert.equal(await native.end(), 0, native.tail())
  await assertExact(herd, ledger, { rows: ROWS, epochs: EPOCHS })
  const part = (name) => samplesOf(ledger, name) / (ROWS * EPOCHS)
  const parts = Object.fromEntries(['tab-one', 'tab-two', 'native'].map((name) => [name, part(name)]))
  stage.note(JSON.stringify(parts))
  assert.ok(parts['tab-one'] >= 0.05 && parts['tab-two'] >= 0.05, `each tab counts: ${JSON.stringify(parts)}`)
  assert.ok(parts.native < 0.9, `the native worker is not alone: ${JSON.stringify(parts)}`)
  assert.ok(ledger.test_accuracy >= 0.92, `test accuracy ${ledger.test_accuracy}`)
  for (const { name, rejected } of ledger.workers) {
    // Copies of units that somebody else delivered first are as planned.
    const { duplicate, ended, ...refused } = rejected
    assert.deepEqual(refused, {}, `${name}: an honest run refuses nothing`)
  }
})
