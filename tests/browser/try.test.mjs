// The prediction page: what is drawn or filled in gets the same answer as from `herd predict`.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'

import { IRIS_ROWS, irisJob } from './support/jobs.mjs'
import { picture } from './support/pictures.mjs'
import { Program } from './support/program.mjs'
import { scenario } from './support/scenario.mjs'
import { until } from './support/waiting.mjs'

/** Page and command run the same code on the same values; only processors round differently. */
const CLOSE = 1e-4

const WIDE = { width: 1280, height: 900 }

const SEVEN = [[0.3, 0.28], [0.5, 0.26], [0.7, 0.25], [0.6, 0.45], [0.5, 0.62], [0.46, 0.8]]

async function trial(stage, herd, options = {}) {
  const tab = await stage.blank({ origins: [herd.origin], ...options })
  await tab.page.goto(`${herd.origin}/try#${herd.token}`)
  return tab
}

/** Trained on digits for a few epochs; the coordinator stays while the page is open. */
async function digits(stage) {
  return stage.herd({ args: ['--set', 'preset=mnist-cnn', '--epochs', '3'], linger: 60 })
}

async function draw(tab, points) {
  const sheet = await tab.id('sketch').boundingBox()
  const at = ([x, y]) => [sheet.x + x * sheet.width, sheet.y + y * sheet.height]
  await tab.page.mouse.move(...at(points[0]))
  await tab.page.mouse.down()
  for (const point of points.slice(1)) await tab.page.mouse.move(...at(point), { steps: 6 })
  await tab.page.mouse.up()
}

/** The pixels that the network was given. */
function seen(tab) {
  return tab.page.evaluate(() => {
    const canvas = document.querySelector('#seen')
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    return Array.from({ length: canvas.width * canvas.height }, (_, index) => data[4 * index])
  })
}

function probabilities(tab) {
  return tab.id('bars').locator('li').evaluateAll((items) => items.map((item) => Number(item.dataset.value)))
}

/** What `herd predict` makes of a file. */
async function predict(stage, herd, file) {
  const program = new Program('herd', ['predict', herd.folder, file, '--format', 'jsonl'], stage.folder)
  assert.equal(await program.end(60), 0, program.tail())
  return JSON.parse(program.output.trim().split('\n')[0])
}

function assertClose(page, command) {
  assert.equal(page.length, command.length)
  page.forEach((value, index) => assert.ok(Math.abs(value - command[index]) <= CLOSE, `${index}: ${value} on the page, ${command[index]} from herd predict`))
}

scenario('a drawn digit gets the answer of herd predict', { minutes: 4 }, async (stage) => {
  const herd = await digits(stage)
  const tab = await trial(stage, herd)
  stage.worker(herd, 'Ada')
  await tab.untilState('ended', 150)
  await until('the network is the best one', async () => /\d/.test(await tab.text('model')))
  await draw(tab, SEVEN)
  await until('there is an answer', async () => /^\d$/.test(await tab.text('verdict')))
  assert.equal(await tab.text('verdict'), '7')
  const pixels = await seen(tab)
  const file = path.join(stage.folder, 'drawn.idx')
  await writeFile(file, Buffer.from([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28, ...pixels]))
  const command = await predict(stage, herd, file)
  assert.equal(command.class, '7')
  assertClose(await probabilities(tab), command.probabilities)
  await picture(tab, 'try-digit')
  await tab.page.setViewportSize(WIDE)

  await tab.id('clear').click()
  await until('the sheet is empty', async () => (await tab.text('verdict')) === '–')
  assert.ok((await seen(tab)).every((value) => value === 0))
  // The same with keys: down, and the pen draws.
  await tab.id('sketch').focus()
  await tab.page.keyboard.press('Space')
  for (let step = 0; step < 12; step += 1) await tab.page.keyboard.press('ArrowDown')
  await tab.page.keyboard.press('Space')
  await until('a stroke of the keyboard is a one', async () => (await tab.text('verdict')) === '1')
  await tab.page.keyboard.press('Delete')
  await until('the sheet is empty', async () => (await tab.text('verdict')) === '–')
})

scenario('a row gets the answer of herd predict', { minutes: 3 }, async (stage) => {
  const job = await irisJob(stage.folder, { epochs: 40 })
  const herd = await stage.herd({ job, linger: 30 })
  const tab = await trial(stage, herd)
  await tab.untilState('waiting')
  stage.worker(herd, 'Ada')
  await tab.untilState('ended', 90)
  await until('the form is there', () => tab.id('row-form').isVisible())
  const row = { sepal_length_cm: '5.9', sepal_width_cm: '3.0', petal_length_cm: '5.1', petal_width_cm: '1.8' }
  for (const [name, value] of Object.entries(row)) await tab.page.locator('.column').filter({ hasText: name }).getByRole('textbox').fill(value)
  await until('the answer is of this row', async () => /virginica/.test(await tab.text('verdict')))
  const file = path.join(stage.folder, 'row.csv')
  await writeFile(file, `${Object.keys(row).join(',')}\n${Object.values(row).join(',')}\n`)
  const command = await predict(stage, herd, file)
  await until('page and command agree', async () => {
    assertClose(await probabilities(tab), command.probabilities)
    return true
  })
  assert.equal(await tab.text('verdict'), command.class)
  await picture(tab, 'try-row')
  assert.equal((await herd.status()).samples, 40 * IRIS_ROWS)
})

scenario('before there is a model the page waits, and goes on by itself', { minutes: 3 }, async (stage) => {
  const job = await irisJob(stage.folder, { epochs: 2000, validation: 0.2 })
  const herd = await stage.herd({ job, linger: 30 })
  const tab = await trial(stage, herd)
  await tab.untilState('waiting')
  assert.ok(!(await tab.id('row-form').isVisible()))
  stage.worker(herd, 'Ada')
  await until('the form is there', () => tab.id('row-form').isVisible(), { seconds: 60 })
})

scenario('a link without a token, and with a wrong one, is explained', { allow: [/console error: .*\b401\b/] }, async (stage) => {
  const herd = await stage.herd({ job: await irisJob(stage.folder, { epochs: 10 }) })
  for (const [token, words] of [['', /half a link/], ['#wrong', /not valid/]]) {
    const tab = await stage.blank({ origins: [herd.origin] })
    await tab.page.goto(`${herd.origin}/try${token}`)
    assert.match(await tab.untilError(), words)
  }
})
