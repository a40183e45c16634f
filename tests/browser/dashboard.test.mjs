// The dashboard: its numbers are those of every other way to see a run, what an admin does to a run happens,
// a viewer cannot, and a coordinator that starts again finds the page where it was.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import path from 'node:path'

import { entries } from './support/herd.mjs'
import { CONNECTION_ERRORS } from './support/hygiene.mjs'
import { IRIS_ROWS, irisJob } from './support/jobs.mjs'
import { Program } from './support/program.mjs'
import { scenario } from './support/scenario.mjs'
import { holds, until } from './support/waiting.mjs'

const HOSTILE = '<img src=x onerror=alert(1)>'
const FOR_EVER = 1_000_000

/** Every order with a body that it takes. */
const ORDERS = [
  ['pause', {}],
  ['resume', {}],
  ['checkpoint', {}],
  ['learning-rate', { learning_rate: 0.5 }],
  ['kick', { worker: 1 }],
  ['stop', {}],
]

/** A tab with the dashboard of a run. */
async function dashboard(stage, herd, { token = herd.viewer, ...options } = {}) {
  const tab = await stage.blank({ origins: [herd.origin], ...options })
  const asked = []
  tab.page.on('request', (request) => asked.push(request.url()))
  tab.asked = asked
  await tab.page.goto(herd.dashboard(token))
  return tab
}

async function endless(stage, options = {}) {
  const job = await irisJob(stage.folder, { epochs: FOR_EVER, frequency: 'steps=4', rate: 0.001 })
  return stage.herd({ job, linger: 5, ...options })
}

/** A figure that a definition list shows, as a number. */
async function listed(tab, testid) {
  return Number((await tab.text(testid)).replaceAll(/[^0-9.e-]/g, ''))
}

function order(herd, what, body, token) {
  const headers = { 'content-type': 'application/json' }
  return herd.ask(`/v1/admin/${what}`, { token, method: 'POST', headers, body: JSON.stringify(body) })
}

scenario('the numbers are those of --json, /metrics and the ledger', { minutes: 3 }, async (stage) => {
  const epochs = 40
  const job = await irisJob(stage.folder, { epochs })
  const herd = await stage.herd({ job, linger: 8, args: ['--min-workers', '2'] })
  const tab = await dashboard(stage, herd)
  await tab.untilState('waiting')
  stage.worker(herd, 'Ada')
  stage.worker(herd, HOSTILE)
  await tab.untilState('ended', 120)
  const metrics = await herd.metrics()
  const ledger = await herd.ledger()
  const shown = new Program('herd', ['runs', 'show', herd.folder, '--json'], stage.folder)
  assert.equal(await shown.end(60), 0, shown.tail())
  const stored = JSON.parse(shown.output)

  assert.equal(await tab.number('samples'), IRIS_ROWS * epochs)
  assert.equal(await tab.number('samples'), ledger.samples)
  assert.equal(await tab.number('samples'), metrics.get('herd_samples_merged_total'))
  assert.equal(await tab.number('samples'), stored.totals.samples, 'samples of the ledger')
  assert.equal(await tab.number('score'), ledger.test_accuracy)
  assert.equal(await tab.number('score'), metrics.get('herd_test_accuracy_ratio'))
  const trained = `On training data ${(100 * metrics.get('herd_training_accuracy_ratio')).toFixed(2)}`
  assert.ok((await tab.page.locator('#metric-words').textContent()).includes(trained), trained)
  assert.equal(await tab.number('seconds'), ledger.seconds)
  assert.equal(await tab.number('speed'), ledger.samples_per_second)
  assert.equal(await listed(tab, 'units-done'), ledger.totals.units)
  assert.equal(await listed(tab, 'units-done'), metrics.get('herd_deltas_merged_total'))
  assert.equal(await listed(tab, 'units-done'), stored.totals.units, 'units of the ledger')
  assert.equal(await listed(tab, 'versions'), metrics.get('herd_versions_total'))
  assert.equal(await tab.text('bytes-up'), size(ledger.bytes_up))
  assert.equal(await tab.text('bytes-down'), size(ledger.bytes_down))
  assert.equal(metrics.get('herd_received_bytes_total'), ledger.bytes_up)
  for (const worker of ledger.workers) await assertWorker(tab, worker)
  assert.equal(await tab.page.locator('#fleet-body tr').count(), ledger.workers.length)
  assert.equal(await tab.page.locator('main img').count(), 0, 'no name became an element')
  assert.ok(!tab.asked.some((url) => url.endsWith('.wasm')), 'the dashboard loads no program')
})

/** Bytes as the page writes them. */
function size(bytes) {
  const step = Math.floor(Math.log10(Math.max(1, bytes)) / 3)
  return step === 0 ? `${bytes} B` : `${(bytes / 1000 ** step).toFixed(1)} ${['B', 'kB', 'MB'][step]}`
}

/** The row of a worker says what the ledger says of it. */
async function assertWorker(tab, worker) {
  const row = tab.page.locator('#fleet-body tr').filter({ has: tab.page.locator('bdi').getByText(worker.name, { exact: true }) })
  assert.equal(await row.count(), 1, `one row of ${worker.name}`)
  const cell = async (key) => Number.parseInt((await row.locator(`[data-key=${key}]`).textContent()).replaceAll(',', ''), 10)
  assert.equal(await cell('samples'), worker.samples, `${worker.name}: samples`)
  assert.equal(await cell('merged'), worker.merged, `${worker.name}: merged`)
  const refused = Object.values(worker.rejected).reduce((sum, times) => sum + times, 0)
  assert.equal(await cell('rejected'), refused, `${worker.name}: refused`)
}

scenario('an admin pauses, resumes, stores, changes the rate, removes and stops', { minutes: 3 }, async (stage) => {
  const herd = await endless(stage)
  const tab = await dashboard(stage, herd, { token: herd.admin })
  stage.worker(herd, 'Ada')
  stage.worker(herd, HOSTILE)
  await tab.untilState('training')
  await until('both are in the table', async () => (await tab.page.locator('#fleet-body tr').count()) === 2)

  await tab.id('pause').click()
  await tab.untilState('paused')
  await until('what was out is merged', async () => (await listed(tab, 'units-out')) === 0)
  const samples = (await herd.status()).samples
  await holds('nothing is trained', async () => (await herd.status()).samples === samples, { seconds: 1.5 })
  assert.equal(await tab.text('pause'), 'Resume')
  await tab.id('pause').click()
  await tab.untilState('training')
  await until('it is trained again', async () => (await herd.status()).samples > samples)

  await tab.id('rate').fill('0.0005')
  await tab.id('rate-set').click()
  await until('the next leases have the new rate', async () => (await tab.text('learning-rate')) === '0.0005')
  await until('so does everybody else hear', async () => (await herd.metrics()).get('herd_learning_rate') === 0.0005)
  await tab.id('rate').fill('none')
  await tab.id('rate').press('Enter')
  assert.match(await tab.text('done'), /a number above 0/)

  const before = await listed(tab, 'incarnation')
  assert.equal(before, 1)
  const stored = await tab.text('last-checkpoint')
  await tab.id('checkpoint').click()
  await until('there is a newer checkpoint', async () => {
    const now = await tab.text('last-checkpoint')
    return /number/.test(now) && now.split(',')[0] !== stored.split(',')[0]
  })

  const row = tab.page.locator('#fleet-body tr').filter({ has: tab.page.locator('bdi').getByText(HOSTILE, { exact: true }) })
  await row.getByRole('button').click()
  await tab.id('sure-no').click()
  await row.getByRole('button').click()
  await tab.id('sure-yes').click()
  await until('it has left', async () => ['away', 'gone'].includes(await row.getAttribute('data-state')))

  await tab.id('stop').click()
  await tab.page.keyboard.press('Escape')
  await holds('a question is no answer', async () => (await tab.state()) === 'training', { seconds: 1 })
  await tab.id('stop').click()
  await tab.id('sure-yes').click()
  await tab.untilState('ended')
  assert.ok(await tab.id('pause').isDisabled(), 'what is over cannot be paused')
  const code = await herd.program.end(60)
  assert.equal(typeof code, 'number', herd.program.tail())
  const acts = (await readFile(path.join(herd.folder, 'audit.jsonl'), 'utf8')).trim().split('\n').map((line) => JSON.parse(line))
  assert.ok(acts.filter(({ by }) => by === 'admin').length >= 6, `each act is written down: ${JSON.stringify(acts)}`)
})

scenario('a viewer sees all and controls nothing', { minutes: 3 }, async (stage) => {
  const herd = await endless(stage)
  stage.worker(herd, 'Ada')
  const tab = await dashboard(stage, herd)
  await tab.untilState('training')
  await until('the worker is listed', async () => (await tab.page.locator('#fleet-body tr').count()) === 1)
  assert.ok(!(await tab.id('control').isVisible()), 'no controls')
  assert.ok(!(await tab.id('invite').isVisible()), 'no link to hand on')
  assert.equal(await tab.page.locator('#fleet-body button').count(), 0, 'nobody can be removed')
  for (const token of [herd.viewer, herd.token]) {
    for (const [what, body] of ORDERS) assert.equal((await order(herd, what, body, token)).status, 403, what)
    for (const path of ['/v1/join', '/v1/runs']) assert.equal((await herd.ask(path, { token })).status, 403, path)
  }
  assert.equal((await herd.ask('/v1/live', { token: herd.token })).status, 403, 'a worker does not watch')
  for (const [what, body] of ORDERS) {
    // Who guesses on and on is told to wait.
    const { status } = await order(herd, what, body, 'wrong')
    assert.ok(status === 401 || status === 429, `${what}: ${status}`)
  }
  assert.equal((await herd.status()).state, 'training', 'all of it was refused')
  const visible = await tab.page.evaluate(() => `${location.href} ${document.title} ${document.body.innerText}`)
  assert.ok(!visible.includes(herd.viewer), 'the token is nowhere to be seen')
})

scenario('the page survives a restart of the coordinator', { minutes: 3, allow: [CONNECTION_ERRORS] }, async (stage) => {
  const herd = await endless(stage)
  stage.worker(herd, 'Ada')
  const tab = await dashboard(stage, herd, { token: herd.admin })
  await tab.untilState('training')
  await until('there is a checkpoint', async () => (await herd.checkpoints()) > 0, { seconds: 60 })
  await tab.page.evaluate(() => {
    globalThis.neverReloaded = true
  })
  herd.program.kill()
  await tab.untilNotice('lost')
  assert.match(await tab.notice('lost'), /trying again/i)
  await herd.program.end()
  await herd.resume({ linger: 5 })
  await tab.untilState('training', 90)
  await until('the note is gone', async () => (await tab.notice('lost')) === '')
  await until('it is the second start', async () => (await listed(tab, 'incarnation')) === 2)
  assert.ok(await tab.page.evaluate(() => globalThis.neverReloaded), 'it is the same page')
  await tab.page.reload()
  await tab.untilState('training')
  assert.ok(await tab.id('control').isVisible(), 'the token outlives a reload')
})

scenario('without a token the page asks for one', { allow: [/console error: .*\b40[13]\b/] }, async (stage) => {
  const herd = await endless(stage)
  const tab = await dashboard(stage, herd, { token: '' })
  assert.ok(await tab.id('ask').isVisible())
  await tab.page.getByLabel('Token or whole link').fill('wrong')
  await tab.page.keyboard.press('Enter')
  await tab.untilState('blocked')
  assert.match(await tab.text('ask-text'), /(?=.*token)(?=.*ask)/is)
  await tab.page.getByLabel('Token or whole link').fill(herd.link())
  await tab.page.keyboard.press('Enter')
  await until('a worker\'s token is told apart', async () => /worker/.test(await tab.text('ask-text')))
  await tab.page.getByLabel('Token or whole link').fill(herd.dashboard())
  await tab.page.keyboard.press('Enter')
  await tab.untilState('waiting')
  assert.ok(!(await tab.id('ask').isVisible()))
})

scenario('model and metrics can be taken away', { minutes: 3 }, async (stage) => {
  const job = await irisJob(stage.folder, { epochs: 20, validation: 0.2 })
  const herd = await stage.herd({ job, linger: 15 })
  const tab = await dashboard(stage, herd)
  await tab.untilState('waiting')
  stage.worker(herd, 'Ada')
  await tab.untilState('ended', 90)
  const take = async (id) => {
    const [download] = await Promise.all([tab.page.waitForEvent('download'), tab.id(id).click()])
    return readFile(await download.path())
  }
  await until('there is a model to take', () => tab.id('get-model').isEnabled())
  const model = await take('get-model')
  assert.ok(model.equals(await readFile(path.join(herd.folder, 'best.safetensors'))), 'it is the best model')
  const records = JSON.parse((await take('get-json')).toString())
  assert.equal((Array.isArray(records) ? records : records.epochs).length, 20, 'one record an epoch')
  const lines = (await take('get-csv')).toString().trim().split('\n')
  assert.equal(lines.length, 21, 'a head and one line an epoch')
  assert.match(lines[0], /epoch/)
})

scenario('charts over samples and over time, and the link to join', {}, async (stage) => {
  const herd = await endless(stage)
  stage.worker(herd, 'Ada')
  const tab = await dashboard(stage, herd, { token: herd.admin })
  await tab.untilState('training')
  await until('the loss is drawn', async () => (await tab.page.locator('#loss-chart canvas').count()) === 1)
  await tab.page.getByLabel('Samples', { exact: true }).focus()
  await tab.page.keyboard.press('ArrowRight')
  assert.ok(await tab.page.getByLabel('Time', { exact: true }).isChecked(), 'the keyboard turns the switch')
  await until('it is drawn anew', async () => (await tab.page.locator('#loss-chart canvas').count()) === 1)
  await until('the code is there', () => tab.id('invite').isVisible())
  const path = await tab.page.locator('#qr path').getAttribute('d')
  assert.match(path, /^M[\dMhvzH V.-]+$/, 'it is drawn as a path')
  await tab.page.getByRole('button', { name: /large/ }).click()
  assert.ok((await tab.page.locator('#poster-link').textContent()).includes('/join#'), 'the large one can be typed too')
  await tab.page.keyboard.press('Escape')
  await tab.id('runs').locator('summary').click()
  assert.match(await tab.text('runs'), /this one/)
  assert.equal(entries((await herd.interrupted()), 'Ada').length, 1)
})
