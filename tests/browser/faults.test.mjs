// Tabs that close, reload, freeze, lose their network or their graphics card: the lease is resumed or leased
// again, the run ends, and each sample is counted once. Each test first makes sure that its fault was there.
import assert from 'node:assert/strict'

import { processes } from './support/browser.mjs'
import { assertExact, entries, samplesOf } from './support/herd.mjs'
import { CONNECTION_ERRORS } from './support/hygiene.mjs'
import { DIGITS_ROWS, IRIS_ROWS, irisJob } from './support/jobs.mjs'
import { scenario } from './support/scenario.mjs'
import { holds, until } from './support/waiting.mjs'

/** So many that a tab that takes it easy needs a minute for them. When the fault is over, a native worker
 * finishes the run. */
const EPOCHS = 60
const INTENSITY = 30

/** A run on all digits. */
function digits(stage, linger = 0) {
  return stage.herd({ args: ['--validation-split', '0', '--epochs', String(EPOCHS)], linger })
}

/** Starts a tab, at a low intensity, and waits for its first merged update. */
async function train(tab) {
  await tab.start()
  await tab.id('intensity').fill(String(INTENSITY))
  await tab.untilAccepted()
}

async function trainingTab(stage, herd, name, more = {}) {
  const tab = await stage.tab(herd, { device: 'cpu', name, ...more })
  await train(tab)
  return tab
}

/** A native worker trains what is left; the ledger must be exact. */
async function finish(stage, herd, { rows = DIGITS_ROWS, epochs = EPOCHS } = {}) {
  const native = stage.worker(herd, 'finisher')
  const ledger = await herd.ledger(180)
  assert.equal(await native.end(), 0, native.tail())
  await assertExact(herd, ledger, { rows, epochs })
  assert.ok(samplesOf(ledger, 'finisher') > 0, 'there was something left to train')
  return ledger
}

/** Merged samples of the run, once what was under way has come in. */
async function settled(herd) {
  let last = -1
  return until('nothing more comes in', async () => {
    const { samples } = await herd.status()
    const still = samples === last
    last = samples
    return still && samples
  }, { interval: 500 })
}

/** Checks that nobody trains. */
async function assertStandsStill(herd, seconds) {
  const before = await settled(herd)
  await holds('nothing is merged', async () => (await herd.status()).samples === before, { seconds })
}

async function assertGoesOn(tab, seconds = 60) {
  const before = await tab.number('accepted')
  await tab.untilAccepted(before + 1, seconds)
}

scenario('the lease of a closed tab is trained by others', {}, async (stage) => {
  const herd = await digits(stage)
  const tab = await trainingTab(stage, herd, 'leaver')
  await tab.page.close()
  await herd.program.line(/^leaver left: .*/m)
  // The status follows what is said by a tenth of a second.
  await until('nobody is there', async () => (await herd.status()).workers === 0)
  await assertStandsStill(herd, 1)
  const ledger = await finish(stage, herd)
  assert.ok(samplesOf(ledger, 'leaver') > 0, 'what the tab delivered stays counted')
  assert.ok(ledger.totals.released > 0, `its lease was given to another: ${JSON.stringify(ledger.totals)}`)
})

scenario('a reloaded tab trains on', {}, async (stage) => {
  const herd = await digits(stage)
  const tab = await trainingTab(stage, herd, 'reloader')
  await tab.page.reload()
  await herd.program.line(/^reloader left: .*/m)
  assert.equal(await tab.number('accepted'), 0, 'the page began anew')
  await train(tab)
  const ledger = await finish(stage, herd)
  assert.equal(entries(ledger, 'reloader').length, 1, `it is one worker: ${JSON.stringify(ledger.workers)}`)
})

scenario('a connection that breaks for 5 s is opened again', { allow: [CONNECTION_ERRORS] }, async (stage) => {
  const herd = await digits(stage)
  const proxy = await stage.proxy(herd)
  const tab = await trainingTab(stage, herd, 'broken', { through: proxy.origin })
  await proxy.cut('refuse')
  assert.ok(proxy.destroyed > 0, 'open connections broke')
  await tab.untilNotice('lost')
  await herd.program.line(/^broken is lost: .*/m)
  await assertStandsStill(herd, 5)
  await proxy.heal()
  await herd.program.line(/^broken is back$/m)
  await assertGoesOn(tab)
  assert.equal(await tab.notice('lost'), '', 'the note about the lost connection is gone')
  const ledger = await finish(stage, herd)
  assert.equal(entries(ledger, 'broken').length, 1, 'it is one worker')
})

scenario('a coordinator that is killed and started again finds its tab', { allow: [CONNECTION_ERRORS] }, async (stage) => {
  const args = ['--validation-split', '0', '--epochs', String(EPOCHS), '--set', 'training.checkpoint_interval=1']
  const herd = await stage.herd({ args })
  const tab = await trainingTab(stage, herd, 'faithful')
  await until('there is a checkpoint', async () => (await herd.checkpoints()) > 0)
  herd.program.kill()
  await herd.program.end(10)
  await tab.untilNotice('lost')
  await herd.resume()
  await herd.program.line(/^faithful joined$/m)
  await assertGoesOn(tab)
  const ledger = await finish(stage, herd)
  assert.equal(entries(ledger, 'faithful').length, 1, 'it is one worker')
})

scenario('a network that stands still for 5 s does no harm', { allow: [CONNECTION_ERRORS] }, async (stage) => {
  const herd = await digits(stage)
  const proxy = await stage.proxy(herd)
  const tab = await trainingTab(stage, herd, 'patient', { through: proxy.origin })
  await proxy.cut('stall')
  await until('the network holds something back', () => proxy.heldBytes > 0)
  await assertStandsStill(herd, 5)
  await proxy.heal()
  await assertGoesOn(tab)
  const ledger = await finish(stage, herd)
  const sessions = entries(ledger, 'patient')
  assert.equal(sessions.length, 1, 'the session lived through it')
  // The lease may have been given to another as well, when its deadline passed; nobody is to blame.
  const { duplicate, ...refused } = sessions[0].rejected
  assert.deepEqual(refused, {}, 'nothing was refused')
})

scenario('a network that stands still for 60 s costs a lease, not the run', { minutes: 4, allow: [CONNECTION_ERRORS] }, async (stage) => {
  const herd = await digits(stage)
  const proxy = await stage.proxy(herd)
  const tab = await trainingTab(stage, herd, 'cut-off', { through: proxy.origin })
  const cut = Date.now()
  await proxy.cut('stall')
  await until('the network holds something back', () => proxy.heldBytes > 0)
  await tab.untilNotice('gone', 45)
  await herd.program.line(/^cut-off is lost: .*/m, 60)
  await assertStandsStill(herd, Math.max(1, 60 - (Date.now() - cut) / 1000))
  await proxy.heal()
  await assertGoesOn(tab, 90)
  await until('the note is gone', async () => (await tab.notice('gone')) === '')
  const ledger = await finish(stage, herd)
  assert.equal(entries(ledger, 'cut-off').length, 1, 'it is one worker')
  const { released, expired } = ledger.totals
  assert.ok(released + expired > 0, `its lease was given up: ${JSON.stringify(ledger.totals)}`)
})

scenario('a frozen page does not hold up the run', { minutes: 3 }, async (stage) => {
  const herd = await digits(stage, 15)
  const tab = await stage.blank({ context: await stage.freezableContext(), origins: [herd.origin] })
  await tab.page.addInitScript(() => {
    window.herdFreezes = 0
    document.addEventListener('freeze', () => {
      window.herdFreezes += 1
    })
  })
  await tab.page.goto(herd.link({ device: 'cpu', name: 'sleeper' }))
  await train(tab)
  const session = await tab.page.context().newCDPSession(tab.page)
  const become = (state) => session.send('Page.setWebLifecycleState', { state })

  await become('frozen')
  assert.equal(await tab.page.evaluate(() => window.herdFreezes), 1, 'the page was told that it is frozen')
  await assertStandsStill(herd, 3)
  await become('active')
  await assertGoesOn(tab)

  await become('frozen')
  assert.equal(await tab.page.evaluate(() => window.herdFreezes), 2)
  const native = stage.worker(herd, 'finisher')
  assert.equal(await native.end(), 0, native.tail())
  await until('the run ends without the frozen page', async () => (await herd.status()).state === 'ended')
  await become('active')
  await tab.untilState('ended', 12)
  const ledger = await herd.ledger()
  await assertExact(herd, ledger, { rows: DIGITS_ROWS, epochs: EPOCHS })
  assert.ok(samplesOf(ledger, 'sleeper') > 0 && samplesOf(ledger, 'finisher') > 0)
})

/** What Chromium itself says when its GPU process dies. */
const GPU_ERRORS = /GPU|WebGPU|external Instance|device.*lost/i

scenario('a graphics card that goes away comes back', { minutes: 5, allow: [GPU_ERRORS] }, async (stage) => {
  const epochs = 2000
  const herd = await stage.herd({ job: await irisJob(stage.folder, { epochs }) })
  const own = await stage.ownBrowser('webgpu')
  const tab = await stage.tab(herd, { kind: own, device: 'webgpu', name: 'card' })
  await tab.start()
  await tab.untilAccepted(1, 180)
  const [victim] = await processes(own, 'GPU')
  process.kill(victim, 'SIGKILL')
  await until('the GPU process is gone', async () => !(await processes(own, 'GPU')).includes(victim))
  await herd.program.line(/^card left: .*/m)
  await tab.untilNotice('restart', 30)
  await assertGoesOn(tab, 180)
  assert.equal(await tab.notice('restart'), '', 'the note about the failure is gone')
  const ledger = await finish(stage, herd, { rows: IRIS_ROWS, epochs })
  const sessions = entries(ledger, 'card')
  assert.ok(sessions.length === 1 && sessions[0].merged > 0, JSON.stringify(ledger.workers))
  assert.ok(sessions.every((entry) => entry.device.startsWith('gpu (')), 'both times on the graphics card')
})
