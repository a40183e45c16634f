// One test: a stage on which coordinators, workers, tabs and networks are set up; everything is taken down
// at its end, what happened is printed when it failed, and no page may have misbehaved.
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { browser, closeBrowsers, launch, launchFreezable } from './browser.mjs'
import { Herd } from './herd.mjs'
import { Hygiene } from './hygiene.mjs'
import { JoinPage } from './page.mjs'
import { Program } from './program.mjs'
import { Proxy } from './proxy.mjs'
import { within } from './waiting.mjs'

/** Where pictures go; git ignores it. */
export const PICTURES = fileURLToPath(new URL('../screenshots/', import.meta.url))

const CLEANUP_SECONDS = 30
/** A coordinator closes its port so long before its process is gone. */
const EXIT_MS = 2000
const WIDE = { width: 1280, height: 900 }

/** Folders of tests under way: a test that is cut off leaves none behind either. */
const folders = new Set()
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

class Stage {
  tabs = []
  folder = ''
  #programs = []
  #coordinators = []
  #closers = []
  #numbers = 0

  async open() {
    this.folder = await mkdtemp(path.join(os.tmpdir(), 'herd-browser-'))
    folders.add(this.folder)
  }

  /** A coordinator with a folder of its own; see Herd.start. */
  async herd(options = {}) {
    this.#numbers += 1
    const folder = path.join(this.folder, `herd-${this.#numbers}`)
    await mkdir(folder)
    return Herd.start(folder, options, (program) => {
      this.#programs.push(program)
      this.#coordinators.push(program)
    })
  }

  /** All misbehaviour of all pages. */
  findings(allow) {
    const ends = this.#coordinators.map((program) => program.endedAt ?? Infinity)
    return this.tabs.flatMap((tab) => tab.hygiene.beyond(allow, Math.min(...ends) - EXIT_MS))
  }

  /** A native worker of a run. */
  worker(herd, name, args) {
    const program = herd.worker(this.folder, name, args)
    this.#programs.push(program)
    return program
  }

  /** A network that the test can cut, in front of a coordinator. */
  async proxy(herd) {
    const proxy = await Proxy.open(herd.origin)
    this.#closers.push(() => proxy.close())
    return proxy
  }

  /** A program that is ended with the scenario. `file` is one of the product's, or a path. */
  program(file, args) {
    const program = new Program(file, args, this.folder)
    this.#programs.push(program)
    return program
  }

  /** A Chromium that only this scenario uses. */
  async ownBrowser(kind) {
    const open = await launch(kind)
    this.#closers.push(() => open.close())
    return open
  }

  /** The context of a Chromium whose tabs can be frozen. */
  async freezableContext() {
    const { browser: open, close } = await launchFreezable()
    this.#closers.push(close)
    return open.contexts()[0]
  }

  /** A person's browser of its own: a fresh profile. */
  async context(kind = 'plain', options = {}) {
    const open = typeof kind === 'string' ? await browser(kind) : kind
    const context = await within(20, 'a browser context', open.newContext({ viewport: WIDE, ...options }))
    this.#closers.push(() => context.close())
    return context
  }

  /** An empty tab that is watched. `origins` are those that it may talk to. */
  async blank({ kind, context, options, origins }) {
    const own = context ?? (await this.context(kind, options))
    const page = await within(20, 'a tab', own.newPage())
    const tab = new JoinPage(page, await Hygiene.watch(page, origins))
    this.tabs.push(tab)
    return tab
  }

  /** A tab that has opened the link of a run. */
  async tab(herd, { kind = 'plain', context, options, ...link } = {}) {
    const through = link.through ?? herd.origin
    const tab = await this.blank({ kind, context, options, origins: [through] })
    await tab.page.goto(herd.link({ ...link, through }))
    return tab
  }

  /** A figure that a reader of the results may want to see. */
  note(text) {
    this.runner.diagnostic(text)
  }

  /** What all parts said last. */
  async report() {
    const pages = await Promise.all(this.tabs.map((tab) => tab.seen()))
    return [...this.#programs.map((program) => program.tail()), ...pages].join('\n')
  }

  async close() {
    for (const closer of this.#closers.reverse()) {
      await within(CLEANUP_SECONDS, 'the cleanup', Promise.resolve(closer())).catch((error) => console.error(error.message))
    }
    for (const program of this.#programs) program.kill()
    await Promise.all(this.#programs.map((program) => program.end(CLEANUP_SECONDS)))
    await rm(this.folder, { recursive: true, force: true })
    folders.delete(this.folder)
  }
}

/** Declares a test. `allow` are patterns of findings that the test causes on purpose. */
export function scenario(name, { minutes = 2, allow = [] }, body) {
  // The runner's own limit is for a cleanup that hangs; the body's comes first and tells more.
  const timeout = (minutes * 60 + 2 * CLEANUP_SECONDS) * 1000
  test(name, { timeout }, async (context) => {
    const stage = new Stage()
    stage.runner = context
    await stage.open()
    try {
      await within(minutes * 60, name, body(stage))
      assert.deepEqual(stage.findings(allow), [], 'no page misbehaves')
    } catch (error) {
      console.error(`${name}: ${error.message}\n${await stage.report()}`)
      throw error
    } finally {
      await stage.close()
    }
  })
}

after(closeBrowsers)
