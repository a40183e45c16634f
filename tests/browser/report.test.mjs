// The report of a run, opened from the disk without any network: it loads nothing, fits its screen, has both
// colour schemes, and shows a hostile name as what it is.
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

import { PICTURES, scenario } from './support/scenario.mjs'

const SIZES = { wide: { width: 1280, height: 900 }, phone: { width: 360, height: 740 } }
const HOSTILE = '</td><script>alert(1)</script><img src=x onerror=alert(2)>'

scenario('the report opens offline, wide and on a phone, light and dark', {}, async (stage) => {
  const herd = await stage.herd({ args: ['--epochs', '5'] })
  const worker = stage.worker(herd, HOSTILE)
  await herd.ledger()
  assert.equal(await worker.end(), 0, worker.tail())

  const file = pathToFileURL(path.join(herd.folder, 'report.html'))
  // Chromium gives a page from the disk the origin "null", as it does to whatever that page might load.
  const tab = await stage.blank({ options: { offline: true }, origins: [file.origin] })
  const asked = []
  tab.page.on('request', (request) => asked.push(request.url()))
  await tab.page.goto(file.href)
  assert.deepEqual(asked, [file.href], 'the page is all that is loaded')
  assert.equal(await tab.page.locator('script, img, iframe, link, a, form').count(), 0)
  assert.equal(await tab.page.locator('#workers tbody th').first().textContent(), HOSTILE)

  // Who sees no curves hears what they show.
  const curves = tab.page.locator('svg[role=img]')
  assert.equal(await curves.count(), 4)
  for (const curve of await curves.all()) {
    const labels = (await curve.getAttribute('aria-labelledby')).split(' ')
    for (const label of labels) assert.ok((await tab.page.locator(`[id="${label}"]`).textContent()).length > 5, label)
  }

  await mkdir(PICTURES, { recursive: true })
  for (const [size, viewport] of Object.entries(SIZES)) {
    await tab.page.setViewportSize(viewport)
    const shades = new Set()
    for (const colorScheme of ['light', 'dark']) {
      await tab.page.emulateMedia({ colorScheme })
      await tab.page.screenshot({ path: path.join(PICTURES, `report-${size}-${colorScheme}.png`), fullPage: true })
      shades.add(await tab.page.evaluate(() => getComputedStyle(document.body).backgroundColor))
      const width = await tab.page.evaluate(() => document.documentElement.scrollWidth)
      assert.ok(width <= viewport.width, `${size}, ${colorScheme}: ${width} pixels wide`)
    }
    assert.equal(shades.size, 2, `both schemes look alike: ${[...shades]}`)
  }
})
