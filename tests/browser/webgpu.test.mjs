// Training on the graphics card alone, and the choice between it and the processor.
import assert from 'node:assert/strict'

import { assertExact, entries } from './support/herd.mjs'
import { IRIS_ROWS, irisJob } from './support/jobs.mjs'
import { scenario } from './support/scenario.mjs'

const EPOCHS = 20

/** Of 30 flowers that test, at most three are wrong. */
const ACCURACY = 0.9

scenario('a network learns on WebGPU alone', { minutes: 4 }, async (stage) => {
  const job = await irisJob(stage.folder, { epochs: EPOCHS, batch: 20, rate: 0.05 })
  const herd = await stage.herd({ job })
  const tab = await stage.tab(herd, { kind: 'webgpu', device: 'webgpu', name: 'card' })
  await tab.start()
  await tab.untilAccepted(1, 180)
  assert.equal(await tab.id('device').getAttribute('data-kind'), 'gpu')

  const ledger = await herd.ledger(200)
  await assertExact(herd, ledger, { rows: IRIS_ROWS, epochs: EPOCHS })
  assert.ok(ledger.test_accuracy >= ACCURACY, `test accuracy ${ledger.test_accuracy}`)
  for (const entry of entries(ledger, 'card')) assert.match(entry.device, /^gpu \(WebGPU/)
  assert.deepEqual(ledger.workers.map((worker) => worker.name), ['card'], 'nobody else trained')
})

scenario('without a wish the faster of both is measured and taken', { minutes: 4 }, async (stage) => {
  const job = await irisJob(stage.folder, { epochs: 100_000 })
  const herd = await stage.herd({ job })
  const tab = await stage.tab(herd, { kind: 'webgpu', name: 'chooser' })
  await tab.start()
  await tab.untilAccepted(1, 180)
  // A graphics card in software loses against the processor that it runs on.
  assert.equal(await tab.id('device').getAttribute('data-kind'), 'cpu')
  const detail = await tab.page.locator('#device-detail').textContent()
  assert.match(detail, /measured: [\d.,]+ steps\/s on the graphics card, [\d.,]+ on/i)
})
