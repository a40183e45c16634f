// Pictures of a page: in each size, light and dark. Nothing may stick out on any of them.
import assert from 'node:assert/strict'
import { mkdir, stat } from 'node:fs/promises'
import path from 'node:path'

import { PICTURES } from './scenario.mjs'

export const SCHEMES = ['light', 'dark']
const SIZES = { wide: { width: 1280, height: 900 }, phone: { width: 360, height: 740 } }

/** Less would be a picture of nothing. */
const BYTES_MIN = 5000

/** Takes the pictures of a state. */
export async function picture(tab, state, sizes = SIZES) {
  await mkdir(PICTURES, { recursive: true })
  for (const [size, viewport] of Object.entries(sizes)) {
    await tab.page.setViewportSize(viewport)
    // Charts take their new width after the first frame in which they have it.
    await tab.page.evaluate(() => new Promise((fits) => requestAnimationFrame(() => requestAnimationFrame(fits))))
    for (const colorScheme of SCHEMES) {
      await tab.page.emulateMedia({ colorScheme })
      const file = path.join(PICTURES, `${state}-${size}-${colorScheme}.png`)
      const began = Date.now()
      await tab.page.screenshot({ path: file, fullPage: true, animations: 'disabled' })
      const { size: bytes, mtimeMs } = await stat(file)
      assert.ok(bytes > BYTES_MIN && mtimeMs >= began - 1000, `${file} was written: ${bytes} bytes`)
      assert.deepEqual(await tab.overflow(), [], `${state}, ${size}, ${colorScheme}: nothing sticks out`)
    }
  }
}
