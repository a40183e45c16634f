// Names that strangers choose are text, whatever they hold: on the page, in the ledger, on the terminal.
import assert from 'node:assert/strict'

import { irisJob } from './support/jobs.mjs'
import { scenario } from './support/scenario.mjs'
import { until } from './support/waiting.mjs'

const PHONE = { width: 360, height: 740 }

const FOR_EVER = 1_000_000

/** What a name is, and what must be left of it. */
const NAMES = {
  markup: { given: '<img src=x onerror=alert(1)>', kept: '<img src=x onerror=alert(1)>' },
  'closing tag': { given: '"><script>alert(2)</script>', kept: '"><script>alert(2)</script>' },
  'right-to-left text': { given: '\u202egro.live\u2066 שלום', kept: 'gro.live שלום' },
  emoji: { given: '👩‍💻🧑🏽‍🚀🐑🐑', kept: '🐑🐑' },
  'ten kilobytes': { given: 'x'.repeat(10_000), kept: 'x'.repeat(39) },
  'control characters': { given: 'a\u001b[31mred\u0007\nb', kept: 'red' },
}

/** A phone's tab with this name, from the link or typed, that trains. */
async function trainingTab(stage, herd, what, how) {
  const { given, kept } = NAMES[what]
  const link = how === 'link' ? { name: given } : {}
  const tab = await stage.tab(herd, { device: 'cpu', options: { viewport: PHONE }, ...link })
  const field = tab.page.getByLabel('Your name')
  if (how === 'field') {
    await field.fill(given)
  } else {
    const value = await field.inputValue()
    assert.ok(value.includes(kept), `${what}: the field shows it as it is: ${value.slice(0, 60)}`)
  }
  await assertWhole(tab, `${what}, before`)
  await tab.start()
  await tab.untilAccepted()
  await assertWhole(tab, `${what}, in training`)
  return tab
}

/** Nothing sticks out of the page, and no name has become a part of it. */
async function assertWhole(tab, when) {
  assert.deepEqual(await tab.overflow(), [], `${when}: nothing sticks out`)
  const made = await tab.page.evaluate(() => document.querySelectorAll('main img, body script').length)
  assert.equal(made, 0, `${when}: no name became an element`)
}

/** Ends the run and checks what the coordinator made of the names. */
async function assertLedger(stage, herd, names) {
  stage.worker(herd, `<b>native</b> \u001b[31m${'n'.repeat(2000)}`)
  await until('the native worker trains', async () => (await herd.status()).workers > 0)
  const ledger = await herd.interrupted()
  for (const what of names) {
    const entry = ledger.workers.find(({ name }) => name.includes(NAMES[what].kept))
    assert.ok(entry?.merged > 0, `${what}: the ledger has it: ${JSON.stringify(ledger.workers.map(({ name }) => name))}`)
  }
  for (const { name } of ledger.workers) assert.ok(Array.from(name).length <= 100, 'no name is shown at full length')
  assert.doesNotMatch(herd.program.error, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/, 'no name controls the terminal')
}

async function endless(stage) {
  return stage.herd({ job: await irisJob(stage.folder, { epochs: FOR_EVER, frequency: 'steps=8' }), linger: 5 })
}

scenario('names in links are text', { minutes: 3 }, async (stage) => {
  const herd = await endless(stage)
  const tabs = []
  for (const what of Object.keys(NAMES)) {
    const tab = await trainingTab(stage, herd, what, 'link')
    // Two cores are not for six tabs at once.
    await tab.id('pause').click()
    await tab.untilState('paused')
    tabs.push(tab)
  }
  await assertLedger(stage, herd, Object.keys(NAMES))
  for (const tab of tabs) await assertWhole(tab, 'after the run')
})

scenario('names typed into the page are text', { minutes: 3 }, async (stage) => {
  const herd = await endless(stage)
  const names = ['markup', 'right-to-left text', 'ten kilobytes']
  for (const what of names) {
    const tab = await trainingTab(stage, herd, what, 'field')
    await tab.id('stop').click()
    await tab.untilState('stopped')
    await assertWhole(tab, `${what}, stopped`)
  }
  await assertLedger(stage, herd, names)
})

scenario('other hostile parts of a link break nothing', {}, async (stage) => {
  const herd = await endless(stage)
  const tab = await stage.blank({ options: { viewport: PHONE }, origins: [herd.origin] })
  const query = `device=${encodeURIComponent('"><img src=x onerror=alert(3)>')}&name=%E0%A4%A&x=${'y'.repeat(2000)}`
  await tab.page.goto(`${herd.origin}/join?${query}#${herd.token}`)
  await tab.start()
  await tab.untilAccepted()
  await assertWhole(tab, 'in training')
})
